"""What can be measured: something that turns pictures into bytes, and says how long each stage took."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from profiling.legacy import legacy_bytes
from runtime.bundle import MANIFEST, Manifest
from runtime.encoder import Encoder
from runtime.engines import label
from runtime.payload import HEADER_BYTES

Pixels = npt.NDArray[np.uint8]


class Sent(NamedTuple):
    """Bytes of one encode."""

    payload: int
    wire: int
    legacy: int | None


class Encoding(Protocol):
    """One subject, opened."""

    size: int
    """Side of the pictures it takes."""

    def encode(self, pixels: Pixels) -> tuple[bytes, Mapping[str, float]]:
        """What is sent, and the milliseconds of each stage."""
        ...

    def count(self, sent: bytes) -> Sent:
        """The bytes of what ``encode`` gave."""
        ...

    def facts(self) -> dict[str, Any]:
        """What a record says of it, whatever is measured."""
        ...


#: Opens a subject, in whichever process it is called.
Opening = Callable[[], Encoding]


class BundleEncoding:
    """An encoder bundle."""

    def __init__(self, bundle: Path, threads: int | None = None, engine: str | None = None) -> None:
        self.encoder = Encoder.open(bundle, engine=engine, threads=threads)
        self.manifest = self.encoder.bundle.manifest
        self.size = self.manifest.size
        self._threads, self._engine = threads, engine

    def encode(self, pixels: Pixels) -> tuple[bytes, Mapping[str, float]]:
        """See :class:`Encoding`."""
        payload = self.encoder.encode(pixels)
        assert self.encoder.last_timing is not None
        return payload, self.encoder.last_timing

    def count(self, sent: bytes) -> Sent:
        """What a receiver needs beside the payload counts as sent."""
        wire = len(sent) + self.manifest.side_channel_bytes
        payload, form = wire - HEADER_BYTES, self.manifest.legacy
        return Sent(payload, wire, legacy_bytes(form, payload, self.manifest.latent_shape) if form else None)

    def facts(self) -> dict[str, Any]:
        """See :class:`Encoding`."""
        return {
            **told(self.encoder.bundle.path, self.manifest),
            "engine": label(self._engine, self.manifest.target),
            "coder": self.encoder.coder,
            "threads": self._threads,
            "encoder_parameters": self.manifest.parameters,
            "encoder_bits": self.manifest.bits,
            "encoder_bits_fp32": self.manifest.bits_fp32,
            "macs": self.manifest.macs,
            "picture_size": self.manifest.size,
            "side_channel_bytes": self.manifest.side_channel_bytes,
        }


def told(bundle: Path, manifest: Manifest) -> dict[str, Any]:
    """What a bundle is, as far as its manifest says."""
    return {
        "model": manifest.model,
        "weights": manifest.weights,
        "target": manifest.target,
        "precision": manifest.precision,
        "codec": manifest.codec,
        "bundle_sha256": hashlib.sha256((bundle / MANIFEST).read_bytes()).hexdigest(),
    }
