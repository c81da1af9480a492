"""A deterministic choice of pictures, decoded: the same seed takes the same ones, wherever the data lies."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from calibration.sample import Found, Sample
from calibration.sources import Keys, source_of
from runtime.errors import PictureError, UsageError
from runtime.preprocess import decode, to_pixels

#: Samples looked at for each that is chosen; beyond that, more shards would say nothing new.
_ENOUGH = 16


@dataclass(frozen=True)
class Selection:
    """Which pictures somebody wants."""

    data: str
    count: int = 64
    seed: int = 0
    keys: Keys = field(default_factory=Keys)


@dataclass(frozen=True)
class Pictures:
    """Pictures ready for a graph, and what a manifest says of them."""

    pixels: list[npt.NDArray[np.uint8]]
    labels: list[str | int | None]
    names: list[str]
    kind: str
    seed: int
    sha256: str
    skipped: tuple[str, ...] = ()
    """Pictures and containers that could not be read, each with the reason."""

    def provenance(self) -> dict[str, object]:
        """For the manifest: how many pictures and which, without paths of this machine."""
        return {
            "kind": self.kind, "count": len(self.pixels), "seed": self.seed, "skipped": len(self.skipped),
            "sha256": self.sha256,
        }  # fmt: skip


def choose(selection: Selection, size: int) -> Pictures:
    """The pictures whose names hash lowest. A broken one is named and the next takes its place."""
    if selection.count < 1:
        raise UsageError(f"at least 1 picture must be chosen, not {selection.count}")
    source = source_of(selection.data)
    found = source.find(selection.data, selection.keys, selection.seed)
    chosen: list[tuple[Sample, npt.NDArray[np.uint8]]] = []
    skipped: list[str] = []
    for sample in _lowest(found, 2 * selection.count + 16, selection.seed, _ENOUGH * selection.count):
        if len(chosen) == selection.count:
            break
        try:
            chosen.append((sample, _pixels(sample, size)))
        except PictureError as why:
            skipped.append(str(why))
    skipped += found.damaged
    if not chosen:
        first = f"; the first: {skipped[0]}" if skipped else "; --image-key names what a container calls them"
        raise UsageError(f"{selection.data}: no picture could be read{first}")
    sha = hashlib.sha256()
    for _, pixels in chosen:
        sha.update(pixels.tobytes())
    samples = [sample for sample, _ in chosen]
    return Pictures(
        [pixels for _, pixels in chosen], [sample.label for sample in samples], [sample.name for sample in samples],
        source.name, selection.seed, sha.hexdigest(), tuple(skipped),
    )  # fmt: skip


def _lowest(found: Found, keep: int, seed: int, enough: int) -> list[Sample]:
    """Samples in the order of their names' hashes. Of many parts, whole ones are read until there are enough."""

    def samples() -> Iterator[Sample]:
        last = ""
        for seen, sample in enumerate(found.samples()):
            part = sample.name.rpartition("/")[0]
            if found.parts > 1 and seen >= enough and part != last:
                return
            last = part
            yield sample

    return heapq.nsmallest(keep, samples(), key=lambda s: hashlib.sha256(f"{seed} {s.name}".encode()).digest())


def _pixels(sample: Sample, size: int) -> npt.NDArray[np.uint8]:
    if isinstance(sample.content, bytes):
        return decode(sample.content, size, sample.name)
    return to_pixels(sample.content, size)
