"""Both ends of the wire: picture to payload on the device, payload to symbols anywhere."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from runtime import codecs, engines, payload
from runtime.bundle import Bundle
from runtime.codecs import Codec, Message
from runtime.coder import Symbols
from runtime.errors import BundleError
from runtime.preprocess import Picture, to_pixels

BundlePath: TypeAlias = "str | os.PathLike[str]"


@dataclass(frozen=True)
class Timing(Mapping[str, float]):
    """Milliseconds of the stages of one encode, as attributes and as a mapping."""

    preprocess: float
    network: float
    code: float
    container: float

    def __getitem__(self, stage: str) -> float:
        return vars(self)[stage]  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[str]:
        return iter(vars(self))

    def __len__(self) -> int:
        return len(vars(self))

    @property
    def total(self) -> float:
        """All stages together."""
        return self.preprocess + self.network + self.code + self.container


class Encoder:
    """Picture in, payload out. Not for use by several threads at once; open one for each."""

    last_timing: Timing | None = None

    def __init__(self, bundle: Bundle, engine: engines.Engine, codec: Codec) -> None:
        self.bundle = bundle
        self._engine, self._codec = engine, codec
        manifest = bundle.manifest
        grid = manifest.latent_shape[1:]
        self._shapes = [(1, *shape) for shape in manifest.output_shapes]
        self._grid = grid if grid != manifest.nominal_grid else None
        self._table_id = bundle.tables.id

    @classmethod
    def open(
        cls, bundle: BundlePath, engine: str | None = None, threads: int | None = None, coder: str | None = None
    ) -> Encoder:
        """Verify a bundle, load its graph and make its tables ready."""
        opened = Bundle.open(bundle)
        manifest = opened.manifest
        if manifest.side != "encoder":
            raise BundleError(f"{opened.path} is a {manifest.side} bundle; encoding needs an encoder bundle")
        codec = codecs.make(manifest.codec, opened.tables, coder)
        runner = engines.open_engine(engine, manifest.target, opened.graph, threads)
        return cls(opened, runner, codec)

    @property
    def coder(self) -> str:
        """Name of the range coder in use."""
        return self._codec.coder

    def symbols(self, picture: Picture) -> Symbols:
        """The integers that would be coded, of shape (channels, height, width)."""
        return self.message(picture).symbols

    def message(self, picture: Picture) -> Message:
        """All that would be coded: the symbols, and what a receiver must know to make sense of them."""
        symbols, side = self._codec.read(self._run(to_pixels(picture, self.bundle.manifest.size)))
        return Message(symbols.copy(), None if side is None else side.copy())

    def outputs(self, pixels: npt.NDArray[np.uint8]) -> engines.Outputs:
        """What the graph itself puts out."""
        return [output.copy() for output in self._run(pixels)]

    def encode(self, picture: Picture) -> bytes:
        """One payload; what each stage took is in ``last_timing``."""
        begin = perf_counter()
        pixels = to_pixels(picture, self.bundle.manifest.size)
        prepared = perf_counter()
        outputs = self._run(pixels)
        computed = perf_counter()
        body, plain = self._codec.encode(self._codec.read(outputs))
        coded = perf_counter()
        data = payload.pack(payload.Payload(self._table_id, body, self._grid, plain))
        stamps = (begin, prepared, computed, coded, perf_counter())
        self.last_timing = Timing(*(1e3 * (b - a) for a, b in zip(stamps, stamps[1:], strict=False)))
        return data

    def _run(self, pixels: npt.NDArray[np.uint8]) -> engines.Outputs:
        """The graph's outputs without their first dimension, in the manifest's order, whatever the converter's was."""
        outputs = {output.shape: output[0] for output in engines.run(self._engine, pixels.reshape(1, *pixels.shape))}
        if set(outputs) != set(self._shapes):
            given, wanted = (" and ".join(map(str, sorted(map(list, shapes)))) for shapes in (outputs, self._shapes))
            raise BundleError(f"{self.bundle.graph} gave {given} instead of {wanted}; export the bundle again")
        return [outputs[shape] for shape in self._shapes]


class Decoder:
    """Payload to symbols and latents, with the tables of one or more bundles; needs no engine."""

    def __init__(self, bundles: Sequence[Bundle], coder: str | None = None) -> None:
        first = bundles[0].manifest
        for other in bundles[1:]:
            mine, its = (first.model, first.latent_shape[0]), (other.manifest.model, other.manifest.latent_shape[0])
            if mine != its:
                raise BundleError(f"{other.path} is for {its[0]}, not {mine[0]}: its tables are of no use here")
        self.bundle = bundles[0]
        self._codecs = {b.tables.id: codecs.make(b.manifest.codec, b.tables, coder) for b in reversed(bundles)}
        self._contexts = any(b.tables.contexts for b in bundles)

    @classmethod
    def open(cls, bundle: BundlePath, coder: str | None = None, tables: Sequence[BundlePath] = ()) -> Decoder:
        """Any bundle of the model will do, whatever its target; ``tables`` adds bundles whose payloads may come."""
        return cls([Bundle.open(path) for path in (bundle, *tables)], coder)

    def symbols(self, data: bytes) -> Symbols:
        """The sender's integers, int32 of shape (channels, height, width); a PayloadError for anything else."""
        return self._decode(data)[1].symbols

    def latent(self, data: bytes) -> npt.NDArray[np.float32]:
        """The quantised latent, float32 of shape (channels, height, width)."""
        codec, message = self._decode(data)
        return codec.latent(message)

    def charge(self, data: bytes) -> float:
        """Bits that the sender's tables alone ask for this message."""
        codec, message = self._decode(data)
        return codec.charge(message)

    def _decode(self, data: bytes) -> tuple[Codec, Message]:
        manifest = self.bundle.manifest
        parts = payload.unpack(data, self._codecs, manifest.limits, context=self._contexts)
        codec, grid = self._codecs[parts.table_id], parts.grid or manifest.nominal_grid
        return codec, codec.decode(parts.body, grid, parts.plain)
