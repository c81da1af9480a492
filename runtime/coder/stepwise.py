"""The context codec symbol by symbol, over any range coder that takes a table for each: slow, and easy to read.

Order: one all-zero flag for each channel, then the channels that are not all zero, one after another and raster
inside; a value that has to take the escape bin follows that bin at once, since its neighbours need it.
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from runtime.coder import Symbols
from runtime.coder.body import BYTE_WEIGHTS, check_range, check_rules, flag_weights, from_zigzag, to_zigzag
from runtime.errors import SymbolsLeftOver
from runtime.payload import Grid
from runtime.tables import Tables


class Sender(Protocol):
    """Takes bins and the model to code them with."""

    def put(self, bins: list[int], model: Any) -> None:
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
        alive: npt.NDArray[np.bool_] = np.array([plane.any() for plane in symbols])
        for is_alive, flag in zip(alive, self._flags, strict=True):
            sender.put([int(not is_alive)], flag)
        for channel in np.flatnonzero(alive).tolist():
            low, escape = int(self._tables.low[channel]), int(self._tables.bins[channel]) - 1
            contexts = self._contexts.of(channel, symbols[channel])
            for value, context in zip(symbols[channel].ravel().tolist(), contexts.ravel().tolist(), strict=True):
                has_bin = 0 <= value - low < escape
                sender.put([value - low if has_bin else escape], self._models[channel][context])
                if not has_bin:
                    sender.put(to_zigzag(np.array([value], np.int32)).tolist(), self._byte)
        return sender.finish(), 0

    def decode(self, body: bytes, grid: Grid) -> Symbols:
        """See :class:`runtime.coder.ContextCoder`."""
        tables = self._tables
        receiver = self.range_coder.receiver(body)
        alive = np.array([receiver.get(1, flag)[0] == 0 for flag in self._flags])
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
        if self.encode(symbols)[0] != body:
            raise SymbolsLeftOver("the body goes on after the last symbol; send the payload again")
        return symbols
