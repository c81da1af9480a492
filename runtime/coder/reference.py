"""The wire format's body in plain Python integers: the coder to read, and the last resort where nothing else runs.

Everything is exact integer arithmetic on a number that starts at 0 and an interval that starts at 2^64 - 1 wide. Each
symbol narrows the interval in proportion to its weight; whenever the interval is narrower than 2^32, both grow by a
32-bit word. The body is the shortest byte string that lies inside the interval at the end.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from runtime.coder import Symbols
from runtime.coder.stepwise import StepwiseCoder, StepwiseContextCoder, StepwiseHyperCoder
from runtime.errors import CorruptBody
from runtime.tables import PRECISION, TOTAL

_WORD = 32
_FULL = 1 << 64
_Cumulative = Sequence[int]


class _Sender:
    def __init__(self) -> None:
        self.low, self.span, self.words = 0, _FULL - 1, 0  # low counts in units of 2^-(64 + 32 * words)

    def put(self, bins: Symbols, cumulative: _Cumulative) -> None:
        low, span = self.low, self.span
        for b in bins.tolist():
            scale = span >> PRECISION
            low += scale * cumulative[b]
            span = scale * (cumulative[b + 1] - cumulative[b])
            if span < 1 << _WORD:
                low, span, self.words = low << _WORD, span << _WORD, self.words + 1
        self.low, self.span = low, span

    def finish(self) -> bytes:
        for size in range(0, 65, 8):
            step = 1 << (64 - size)
            point = -(-self.low // step) * step
            if point - self.low < self.span:
                break
        return point.to_bytes(8 + 4 * self.words, "big").rstrip(b"\0")


class _Receiver:
    def __init__(self, body: bytes) -> None:
        self.body, self.read, self.span = body, 8, _FULL - 1
        self.above = int.from_bytes(body[:8].ljust(8, b"\0"), "big")

    def get(self, count: int, cumulative: _Cumulative) -> Symbols:
        bins = np.empty(count, np.int32)
        for i in range(count):
            scale = self.span >> PRECISION
            quantile = self.above // scale
            if quantile >= TOTAL:
                raise CorruptBody("the body names a point outside every symbol; send the payload again")
            b = bisect_right(cumulative, quantile) - 1
            self.above -= scale * cumulative[b]
            self.span = scale * (cumulative[b + 1] - cumulative[b])
            if self.span < 1 << _WORD:
                word = int.from_bytes(self.body[self.read : self.read + 4].ljust(4, b"\0"), "big")
                self.above, self.span, self.read = self.above << _WORD | word, self.span << _WORD, self.read + 4
            bins[i] = b
        return bins


def _cumulative(weights: Iterable[Any]) -> _Cumulative:
    return [0, *accumulate(int(w) for w in weights)]


class _RangeCoder:
    model = staticmethod(_cumulative)
    sender = staticmethod(_Sender)
    receiver = staticmethod(_Receiver)


class ReferenceCoder(StepwiseCoder):
    """The plain codec in Python."""

    range_coder = _RangeCoder()


class ReferenceContextCoder(StepwiseContextCoder):
    """The context codec in Python."""

    range_coder = _RangeCoder()


class ReferenceHyperCoder(StepwiseHyperCoder):
    """The hyperprior codec in Python."""

    range_coder = _RangeCoder()
