"""The same bytes through constriction's own range coder.

constriction takes floating-point probabilities; handing it ``weight - 1`` as float32 makes every step of its table
building exact, so that its integers are ours: the sum is 2^24 - bins, its scale factor exactly 1, and it gives each
bin the 1 back. A coder object is made anew for each message: ``clear()`` does not reset the carry state.
"""

from __future__ import annotations

from typing import Any

import constriction
import numpy as np
import numpy.typing as npt

from runtime.coder import Symbols
from runtime.coder.body import (
    BYTE_WEIGHTS,
    check_canonical,
    check_range,
    check_rules,
    flag_weights,
    from_zigzag,
    tighten,
    to_bins,
    to_zigzag,
)
from runtime.coder.stepwise import StepwiseContextCoder
from runtime.errors import CorruptBody
from runtime.tables import Tables

_Model = constriction.stream.model.Categorical


def _model(weights: npt.NDArray[np.uint32]) -> Any:
    return _Model((weights - 1).astype(np.float32), perfect=False)


class _Sender:
    def __init__(self) -> None:
        self._coder = constriction.stream.queue.RangeEncoder()

    def put(self, bins: list[int], model: Any) -> None:
        self._coder.encode(np.array(bins, np.int32), model)

    def finish(self) -> bytes:
        _, (low, span) = self._coder.pos()
        return tighten(self._coder.get_compressed(), low, span)


class _Receiver:
    def __init__(self, body: bytes) -> None:
        words = np.frombuffer(body + b"\0" * (-len(body) % 4), ">u4").astype(np.uint32)
        self._coder = constriction.stream.queue.RangeDecoder(words)

    def get(self, count: int, model: Any) -> Symbols:
        try:
            bins: Symbols = self._coder.decode(model, count)
        except AssertionError as why:  # constriction's word for a point outside every symbol
            raise CorruptBody("the body names a point outside every symbol; send the payload again") from why
        return bins


class _RangeCoder:
    model = staticmethod(_model)
    sender = staticmethod(_Sender)
    receiver = staticmethod(_Receiver)


class ConstrictionContextCoder(StepwiseContextCoder):
    """Codes with contexts through constriction, one call a symbol."""

    range_coder = _RangeCoder()


class ConstrictionCoder:
    """Codes through constriction; its models are built once, here."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._models = [_model(tables.row_weights(c)) for c in range(tables.channels)]
        self._flags = np.stack([flag_weights(w) for w in tables.zero_weight]).astype(np.float32) - 1
        self._byte = _model(BYTE_WEIGHTS)

    def encode(self, symbols: Symbols) -> bytes:
        """See :class:`runtime.coder.Coder`."""
        check_range(symbols)
        coder = constriction.stream.queue.RangeEncoder()
        alive = symbols.any(axis=1)
        coder.encode((~alive).astype(np.int32), _Model(perfect=False), self._flags)
        escaped: list[Symbols] = []
        for channel in np.flatnonzero(alive).tolist():
            bins, values = to_bins(symbols[channel], self._tables, channel)
            coder.encode(bins, self._models[channel])
            escaped.append(values)
        if any(map(len, escaped)):
            coder.encode(to_zigzag(np.concatenate(escaped)), self._byte)
        _, (low, span) = coder.pos()
        return tighten(coder.get_compressed(), low, span)

    def decode(self, body: bytes, cells: int) -> Symbols:
        """See :class:`runtime.coder.Coder`."""
        words = np.frombuffer(body + b"\0" * (-len(body) % 4), ">u4").astype(np.uint32)
        coder = constriction.stream.queue.RangeDecoder(words)
        try:
            symbols = self._decode(coder, cells)
        except AssertionError as why:  # constriction's word for a point outside every symbol
            raise CorruptBody("the body names a point outside every symbol; send the payload again") from why
        check_canonical(body, symbols, self)
        return symbols

    def _decode(self, coder: Any, cells: int) -> Symbols:
        tables = self._tables
        alive = coder.decode(_Model(perfect=False), self._flags) == 0
        symbols = np.zeros((tables.channels, cells), np.int32)
        escaped = np.zeros((tables.channels, cells), bool)
        for channel in np.flatnonzero(alive):
            bins = coder.decode(self._models[channel], cells)
            symbols[channel] = bins + tables.low[channel]
            escaped[channel] = bins == tables.bins[channel] - 1
        if count := int(escaped.sum()):
            symbols[escaped] = from_zigzag(coder.decode(self._byte, 2 * count))
        check_rules(symbols, alive, escaped, tables)
        return symbols
