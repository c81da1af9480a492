"""The C coder of ``context.c``: contexts, tables and range coding in one pass over the symbols."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.coder import Symbols
from runtime.coder.native import LIBRARY, raise_failure
from runtime.contexts import LARGEST_SUM, Contexts
from runtime.payload import Grid
from runtime.tables import TOTAL, Tables

#: Prices of the plain tables are in 4096ths of a bit, rounded down.
_PRICE = 4096


class _CContexts(ctypes.Structure):
    _fields_ = (
        ("channels", ctypes.c_uint32),
        *((name, ctypes.c_void_p) for name in (
            "row", "bins", "low", "zero_weight", "cumulative", "likeliest", "first", "activity", "direction",
            "activity_steps", "direction_steps", "activity_level", "direction_level", "modelled",
        )),
        ("activities", ctypes.c_uint32),
        ("directions", ctypes.c_uint32),
        ("plain_row", ctypes.c_void_p),
        ("plain_cost", ctypes.c_void_p),
    )  # fmt: skip


_encode, _decode, _scratch = LIBRARY.sp_encode_context, LIBRARY.sp_decode_context, LIBRARY.sp_context_scratch
_POINTER, _SIZE = ctypes.c_void_p, ctypes.c_size_t
_encode.restype = _decode.restype = ctypes.c_int64
_encode.argtypes = (_POINTER, _POINTER, _SIZE, _SIZE, _POINTER, _POINTER, _POINTER, _SIZE, _POINTER)
_decode.argtypes = (_POINTER, ctypes.c_char_p, _SIZE, _POINTER, _SIZE, _SIZE, _POINTER, _POINTER)
_scratch.restype = _SIZE
_scratch.argtypes = (_SIZE, _SIZE)


class NativeContextCoder:
    """See :class:`runtime.coder.ContextCoder`."""

    def __init__(self, tables: Tables) -> None:
        assert tables.contexts is not None
        self._channels = tables.channels
        # The C side keeps bare pointers into these arrays, so they must live as long as the coder.
        self._arrays = _layout(tables, tables.contexts)
        pointers = {name: array.ctypes.data for name, array in self._arrays.items()}
        activities, directions = tables.contexts.levels
        self._tables = _CContexts(channels=tables.channels, activities=activities, directions=directions, **pointers)
        self._address = ctypes.addressof(self._tables)
        self._alive = np.empty(tables.channels, np.uint8)
        self._memory = np.empty(0, np.int16)

    def encode(self, symbols: Symbols) -> tuple[bytes, int]:
        """See :class:`runtime.coder.ContextCoder`."""
        symbols = np.ascontiguousarray(symbols, dtype=np.int32)
        # 24 bits at most for a bin and 16 for an escaped value, and a few bytes for flags and flush.
        out = np.empty(5 * symbols.size + 3 * self._channels + 16, np.uint8)
        plain = ctypes.c_uint64()
        length = _encode(
            self._address, symbols.ctypes.data, symbols.shape[1], symbols.shape[2], self._alive.ctypes.data,
            self._scratch(symbols.shape[1], symbols.shape[2]), out.ctypes.data, out.size, ctypes.addressof(plain),
        )  # fmt: skip
        raise_failure(length)
        return out[:length].tobytes(), plain.value // (8 * _PRICE)

    def decode(self, body: bytes, grid: Grid) -> Symbols:
        """See :class:`runtime.coder.ContextCoder`."""
        symbols = np.empty((self._channels, *grid), np.int32)
        memory = self._scratch(*grid)
        raise_failure(
            _decode(self._address, body, len(body), symbols.ctypes.data, *grid, self._alive.ctypes.data, memory)
        )
        return symbols

    def _scratch(self, height: int, width: int) -> int:
        needed = _scratch(height, width)
        if self._memory.nbytes < needed:
            self._memory = np.empty(needed // 2 + 1, np.int16)
        return self._memory.ctypes.data


def _layout(tables: Tables, contexts: Contexts) -> dict[str, npt.NDArray[Any]]:
    """All tables cumulative, one after another, and lookups from sums to levels."""
    rows = [tables.row_weights(c)[np.newaxis] if own is None else own for c, own in enumerate(tables.context_rows)]
    cumulative = [np.pad(np.cumsum(row, axis=1, dtype=np.uint32), ((0, 0), (1, 0))) for row in rows]
    sums = np.arange(-LARGEST_SUM, LARGEST_SUM + 1)
    unmodelled = contexts.modelled == 0

    def levels(steps: npt.NDArray[np.int16], times: int) -> npt.NDArray[np.uint8]:
        found = np.stack([np.searchsorted(own, sums, side="right") for own in steps]) * times
        found[unmodelled] = 0
        return found.astype(np.uint8)

    costs = -np.log2(tables.weights / TOTAL)
    costs[tables.row[1:] - 1] += 16  # an escaped value's own bits
    return {
        "row": _starts([row.size for row in cumulative]),
        "bins": tables.bins,
        "low": tables.low,
        "zero_weight": tables.zero_weight,
        "cumulative": np.concatenate([row.ravel() for row in cumulative]),
        "likeliest": np.concatenate([row.argmax(axis=1) for row in rows]).astype(np.uint16),
        "first": _starts([len(row) for row in rows]),
        "activity": contexts.activity,
        "direction": contexts.direction,
        "activity_steps": contexts.activity_steps,
        "direction_steps": contexts.direction_steps,
        "activity_level": levels(contexts.activity_steps, contexts.levels[1]),
        "direction_level": levels(contexts.direction_steps, 1),
        "modelled": contexts.modelled,
        "plain_row": tables.row[:-1].astype(np.uint32),
        "plain_cost": np.floor(costs * _PRICE).astype(np.uint32),
    }


def _starts(sizes: list[int]) -> npt.NDArray[np.uint32]:
    return np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.uint32)
