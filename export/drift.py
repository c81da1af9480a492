"""What 8-bit integers cost: symbols, bytes, accuracy, time and file size, side by side with real numbers."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from encoders.model import SplitModel
from runtime import codecs
from runtime.codecs import Codec, Message
from runtime.encoder import Encoder
from runtime.errors import SplitportError
from runtime.tables import Tables

Pixels = npt.NDArray[np.uint8]
_ROUNDS = 40
#: Energy of the symbols' error beside that of the symbols themselves, above which nothing was understood.
_MOST_ERROR = 0.5


class DriftError(SplitportError):
    """Accuracy falls further than was allowed; nothing was written."""


@dataclass(frozen=True)
class Drift:
    """An int8 encoder beside the fp32 one of the same target. Bytes and milliseconds are of one picture."""

    pictures: int
    kind: str
    calibrated_on: int
    recipe: str
    kept_float: tuple[int, ...]
    """Convolutions that stayed in real numbers."""
    agreement: float
    """Share of symbols that are equal."""
    mean_difference: float
    largest_difference: int
    bytes_fp32: float
    bytes_int8: float
    """With the prior's tables."""
    bytes_refit: float | None
    """With tables fitted to the int8 encoder's own symbols, where there is something to fit."""
    bytes_context: float | None
    """With contexts fitted to them, where that was wanted."""
    file_fp32: int
    file_int8: int
    ms_fp32: float
    ms_int8: float
    labelled: int
    top1_fp32: float | None
    top1_int8: float | None

    @property
    def drop(self) -> float | None:
        """Points of accuracy lost."""
        return None if self.top1_fp32 is None or self.top1_int8 is None else self.top1_fp32 - self.top1_int8

    def fields(self) -> dict[str, Any]:
        """For the manifest."""
        return {**asdict(self), "kept_float": list(self.kept_float)}

    def lines(self, unfitted: str = "prior's tables") -> list[str]:
        """For people: a small table, and what follows from it. ``unfitted`` names what symbols are first coded with."""
        rows = [
            ("file", f"{self.file_fp32 / 1e6:.2f} MB", f"{self.file_int8 / 1e6:.2f} MB"),
            ("encode, 1 thread", f"{self.ms_fp32:.2f} ms", f"{self.ms_int8:.2f} ms"),
            (f"payload, {unfitted}", f"{self.bytes_fp32:.1f} B", f"{self.bytes_int8:.1f} B"),
        ]
        if self.bytes_refit is not None:
            rows.append(("payload, refitted tables", "", f"{self.bytes_refit:.1f} B"))
        if self.bytes_context is not None:
            rows.append(("payload, contexts", "", f"{self.bytes_context:.1f} B"))
        if self.top1_fp32 is not None:
            rows.append((f"top-1 of {self.labelled}", f"{self.top1_fp32:.2f} %", f"{self.top1_int8:.2f} %"))
        width = max(len(row[0]) for row in rows)
        rows.insert(0, ("", "fp32", "int8"))
        table = [f"  {name:{width}}  {real:>10}  {integer:>10}" for name, real, integer in rows]
        said = [
            f"{100 * self.agreement:.3f} % of symbols equal on {self.pictures} {self.kind} pictures that were not "
            f"calibrated on; mean difference {self.mean_difference:.4f}, largest {self.largest_difference}",
            *table,
        ]
        if self.ms_int8 >= self.ms_fp32:
            said.append("  int8 is not faster than fp32 on this CPU: prefer fp32 here, unless the file must be small")
        return said


def messages_of(encoder: Encoder, pictures: Sequence[Pixels]) -> list[Message]:
    """What the encoder would code for each."""
    return [encoder.message(picture) for picture in pictures]


def check(expected: Sequence[Message], actual: Sequence[Message]) -> None:
    """Refuse a graph that is not the network at all, whatever coarse steps would excuse."""
    pairs = list(zip(expected, actual, strict=True))
    error = sum(float(np.square(e.symbols - a.symbols, dtype=np.float64).sum()) for e, a in pairs)
    energy = sum(float(np.square(e.symbols, dtype=np.float64).sum()) for e, _ in pairs)
    share = error / max(energy, 1.0)
    if share > _MOST_ERROR:
        raise DriftError(
            "the quantised graph does not compute what the network does: the energy of its symbols' error is "
            f"{share:.1f} times their own; try --recipe mixed, and report the model and target"
        )


def mean_bytes(tables: Tables, codec: str, messages: Sequence[Message]) -> float:
    """Payload bytes of a picture under these tables."""
    made = codecs.make(codec, tables, None)
    return statistics.fmean(len(made.encode(each).body) for each in messages)


def interleaved_ms(first: Encoder, second: Encoder, pictures: Sequence[Pixels]) -> tuple[float, float]:
    """Medians of whole encodes, taken in turns, so that both meet the same noise."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(_ROUNDS + 8):
        for encoder, taken in zip((first, second), times, strict=True):
            begin = perf_counter()
            encoder.encode(pictures[turn % len(pictures)])
            if turn >= 8:  # the first encodes warm caches up
                taken.append(1e3 * (perf_counter() - begin))
    return statistics.median(times[0]), statistics.median(times[1])


@torch.no_grad()
def top1(model: SplitModel, codec: Codec, messages: Sequence[Message], labels: Sequence[int]) -> float:
    """Per cent that the model's own receiver gets right from these messages."""
    right = [
        int(model.receive(torch.from_numpy(codec.latent(each)).unsqueeze(0)).argmax()) == label
        for each, label in zip(messages, labels, strict=True)
    ]
    return 100 * statistics.fmean(right)
