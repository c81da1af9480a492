"""All codecs symbol by symbol, over any range coder that takes a table for each: slow, and easy to read.

Order of plain and context codec: one all-zero flag for each channel, then the channels that are not all zero, one
after another and raster inside. The plain codec leaves values that had to take an escape bin to the end; the context
codec sends such a value right after its bin, since its neighbours need it.
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from runtime.coder import RowsOf, Symbols
from runtime.coder.body import (
    BYTE_WEIGHTS,
    check_canonical,
    check_escapes,
    check_range,
    check_rules,
    flag_weights,
    from_zigzag,
    to_bins,
    to_zigzag,
)
from runtime.payload import Grid
from runtime.tables import Tables


class Sender(Protocol):
    """Takes bins and the model to code them with."""

    def put(self, bins: Symbols, model: Any) -> None:
        """Code some bins."""
        ...

    def finish(self) -> bytes:
        """The body."""
        ...


class Receiver(Protocol):
    """The other end."""

    def get(self, count: int, model: Any) -> Symbols:
        """Read some bins."""
        ...


class RangeCoder(Protocol):
    """One implementation of the range coder."""

    def model(self, weights: npt.NDArray[np.uint32]) -> Any:
        """What it needs for one table."""
        ...

    def sender(self) -> Sender:
        """Begin a body."""
        ...

    def receiver(self, body: bytes) -> Receiver:
        """Begin to read one."""
        ...


class _Plain:
    """What both the plain codec and a hyperprior's stream begin with."""

    range_coder: ClassVar[RangeCoder]

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        model = self.range_coder.model
        self._flags = [model(flag_weights(w)) for w in tables.zero_weight]
        self._rows = [model(tables.row_weights(c)) for c in range(tables.channels)]
        self._byte = model(BYTE_WEIGHTS)

    def _put(self, sender: Sender, symbols: Symbols) -> None:
        check_range(symbols)
        alive = _put_flags(sender, symbols, self._flags)
        escaped: list[Symbols] = []
        for channel in alive:
            bins, values = to_bins(symbols[channel], self._tables, channel)
            sender.put(bins, self._rows[channel])
            escaped.append(values)
        for values in escaped:
            sender.put(to_zigzag(values), self._byte)

    def _get(self, receiver: Receiver, cells: int) -> Symbols:
        tables = self._tables
        alive = _get_flags(receiver, self._flags)
        symbols = np.zeros((tables.channels, cells), np.int32)
        escaped = np.zeros((tables.channels, cells), bool)
        for channel in np.flatnonzero(alive):
            bins = receiver.get(cells, self._rows[channel])
            symbols[channel] = bins + tables.low[channel]
            escaped[channel] = bins == tables.bins[channel] - 1
        if count := int(escaped.sum()):
            symbols[escaped] = from_zigzag(receiver.get(2 * count, self._byte))
        check_rules(symbols, alive, escaped, tables)
        return symbols


class StepwiseCoder(_Plain):
    """The plain codec; see :class:`runtime.coder.Coder`."""

    def encode(self, symbols: Symbols) -> bytes:
        """See :class:`runtime.coder.Coder`."""
        sender = self.range_coder.sender()
        self._put(sender, symbols)
        return sender.finish()

    def decode(self, body: bytes, cells: int) -> Symbols:
        """See :class:`runtime.coder.Coder`."""
        symbols = self._get(self.range_coder.receiver(body), cells)
        check_canonical(body, self.encode(symbols))
        return symbols


class StepwiseHyperCoder(_Plain):
    """The hyperprior codec; see :class:`runtime.coder.HyperCoder`."""

    def __init__(self, tables: Tables) -> None:
        super().__init__(tables)
        scales = tables.scales
        assert scales is not None
        self._low, self._escape = scales.low, scales.bins.astype(np.int32) - 1
        self._scales = [self.range_coder.model(scales.row_weights(row)) for row in range(scales.channels)]

    def encode(self, side: Symbols, symbols: Symbols, rows: npt.NDArray[np.uint8]) -> bytes:
        """See :class:`runtime.coder.HyperCoder`."""
        sender = self.range_coder.sender()
        self._put(sender, side)
        check_range(symbols)
        bins = symbols - self._low[rows]
        escaped = (bins < 0) | (bins >= self._escape[rows])
        bins = np.where(escaped, self._escape[rows], bins).astype(np.int32)
        for place, row in enumerate(rows.tolist()):
            sender.put(bins[place : place + 1], self._scales[row])
        sender.put(to_zigzag(symbols[escaped]), self._byte)
        return sender.finish()

    def decode(self, body: bytes, cells: int, count: int, rows_of: RowsOf) -> tuple[Symbols, Symbols]:
        """See :class:`runtime.coder.HyperCoder`."""
        receiver = self.range_coder.receiver(body)
        side = self._get(receiver, cells)
        rows = rows_of(side)
        bins = np.array([receiver.get(1, self._scales[row])[0] for row in rows.tolist()], np.int32)
        symbols, escaped = bins + self._low[rows], bins == self._escape[rows]
        symbols[escaped] = from_zigzag(receiver.get(2 * int(escaped.sum()), self._byte))
        check_escapes(symbols, escaped, self._low[rows], self._escape[rows])
        check_canonical(body, self.encode(side, symbols, rows))
        return side, symbols


class StepwiseContextCoder:
    """See :class:`runtime.coder.ContextCoder`."""

    range_coder: ClassVar[RangeCoder]

    def __init__(self, tables: Tables) -> None:
        assert tables.contexts is not None
        self._tables, self._contexts = tables, tables.contexts
        model = self.range_coder.model
        self._flags = [model(flag_weights(w)) for w in tables.zero_weight]
        self._byte = model(BYTE_WEIGHTS)
        self._models = [
            [model(w) for w in ([tables.row_weights(c)] if rows is None else rows)]
            for c, rows in enumerate(tables.context_rows)
        ]

    def encode(self, symbols: Symbols) -> tuple[bytes, int]:
        """See :class:`runtime.coder.ContextCoder`. Nothing is known of what the plain codec would take."""
        check_range(symbols)
        sender = self.range_coder.sender()
        for channel in _put_flags(sender, symbols, self._flags):
            low, escape = int(self._tables.low[channel]), int(self._tables.bins[channel]) - 1
            contexts = self._contexts.of(channel, symbols[channel])
            for value, context in zip(symbols[channel].ravel().tolist(), contexts.ravel().tolist(), strict=True):
                has_bin = 0 <= value - low < escape
                sender.put(np.array([value - low if has_bin else escape], np.int32), self._models[channel][context])
                if not has_bin:
                    sender.put(to_zigzag(np.array([value], np.int32)), self._byte)
        return sender.finish(), 0

    def decode(self, body: bytes, grid: Grid) -> Symbols:
        """See :class:`runtime.coder.ContextCoder`."""
        tables = self._tables
        receiver = self.range_coder.receiver(body)
        alive = _get_flags(receiver, self._flags)
        symbols = np.zeros((tables.channels, *grid), np.int32)
        escaped = np.zeros(symbols.shape, bool)
        for channel in np.flatnonzero(alive).tolist():
            low, escape = int(tables.low[channel]), int(tables.bins[channel]) - 1
            own = symbols[channel]
            for y, x in np.ndindex(*grid):
                chosen = int(receiver.get(1, self._models[channel][self._contexts.at(channel, own, y, x)])[0])
                escaped[channel, y, x] = chosen == escape
                own[y, x] = from_zigzag(receiver.get(2, self._byte))[0] if chosen == escape else low + chosen
        flat = (tables.channels, -1)
        check_rules(symbols.reshape(flat), alive, escaped.reshape(flat), tables)
        check_canonical(body, self.encode(symbols)[0])
        return symbols


def _put_flags(sender: Sender, symbols: Symbols, flags: list[Any]) -> list[int]:
    """Flags of the channels that are all zero; returns the others."""
    alive = [bool(channel.any()) for channel in symbols]
    for is_alive, flag in zip(alive, flags, strict=True):
        sender.put(np.array([not is_alive], np.int32), flag)
    return np.flatnonzero(alive).tolist()


def _get_flags(receiver: Receiver, flags: list[Any]) -> npt.NDArray[np.bool_]:
    return np.array([receiver.get(1, flag)[0] == 0 for flag in flags])
