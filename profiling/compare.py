"""Is one run faster than another? Ratios of medians, with an interval that says what chance alone would give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from profiling.records import Record

_RESAMPLED = 2000
#: The middle share of resampled ratios that the interval covers.
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Comparison:
    """The same bundle in two files: how the second's median latency compares with the first's."""

    name: str
    first_ms: float
    second_ms: float
    low: float
    high: float

    @property
    def ratio(self) -> float:
        """Below one, the second is faster."""
        return self.second_ms / self.first_ms

    @property
    def verdict(self) -> str:
        """In words."""
        if self.low <= 1 <= self.high:
            return "no difference shown"
        times = 1 / self.ratio if self.ratio < 1 else self.ratio
        return f"the second is {times:.2f} times {'as fast' if self.ratio < 1 else 'as slow'}"


def compare(first: Sequence[Record], second: Sequence[Record]) -> tuple[list[Comparison], list[str]]:
    """Records of both files that measure the same thing, and the names of those without a counterpart.

    Of several records of the same thing in one file all samples count.
    """
    ours, theirs = _grouped(first), _grouped(second)
    shared = [key for key in ours if key in theirs]
    alone = [key for key in (*ours, *theirs) if (key in ours) != (key in theirs)]
    return [_compared(key, ours[key], theirs[key]) for key in shared], alone


def _grouped(records: Sequence[Record]) -> dict[str, npt.NDArray[np.float64]]:
    found: dict[str, list[float]] = {}
    # An evaluation encodes between decoding and classifying: its times are for want of better ones.
    for record in [record for record in records if record.task is None] or records:
        count = record.threads
        threads = "" if count is None else f", {count} thread{'s' * (count != 1)}"
        name = f"{record.model} {record.subject.artifact} {record.picture_size}x{record.picture_size}{threads}"
        found.setdefault(name, []).extend(record.samples["total"])
    return {name: np.array(samples) for name, samples in found.items()}


def _compared(name: str, first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> Comparison:
    rng = np.random.default_rng(0)  # the same files give the same interval

    def medians(samples: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        drawn = rng.choice(samples, (_RESAMPLED, len(samples)))
        made: npt.NDArray[np.float64] = np.median(drawn, axis=1)
        return made

    ratios = medians(second) / medians(first)
    low, high = np.quantile(ratios, [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
    return Comparison(name, float(np.median(first)), float(np.median(second)), float(low), float(high))
