"""The C coder of ``hyper.c``."""

from __future__ import annotations

import ctypes

import numpy as np
import numpy.typing as npt

from runtime.coder import RowsOf, Symbols
from runtime.coder.native import LIBRARY, CTables, raise_failure
from runtime.tables import Tables

_encode, _begin, _end = LIBRARY.sp_encode_hyper, LIBRARY.sp_decode_hyper_begin, LIBRARY.sp_decode_hyper_end
_POINTER, _SIZE = ctypes.c_void_p, ctypes.c_size_t
_encode.restype = _begin.restype = _end.restype = ctypes.c_int64
_encode.argtypes = (_POINTER, _POINTER, _SIZE, _POINTER, _POINTER, _POINTER, _POINTER, _SIZE, _POINTER, _SIZE)
_begin.argtypes = (_POINTER, _POINTER, ctypes.c_char_p, _SIZE, _POINTER, _SIZE, _POINTER)
_end.argtypes = (_POINTER, _POINTER, _POINTER, _POINTER, _SIZE)
LIBRARY.sp_receiver_size.restype = _SIZE


class NativeHyperCoder:
    """See :class:`runtime.coder.HyperCoder`."""

    def __init__(self, tables: Tables) -> None:
        assert tables.scales is not None
        self._side, self._scales = CTables(tables), CTables(tables.scales)
        self._alive = np.empty(tables.channels, np.uint8)
        self._receiver = np.empty(LIBRARY.sp_receiver_size(), np.uint8)

    def encode(self, side: Symbols, symbols: Symbols, rows: npt.NDArray[np.uint8]) -> bytes:
        """See :class:`runtime.coder.HyperCoder`."""
        side, symbols, rows = map(np.ascontiguousarray, (side, symbols, rows))
        room = 5 * (side.size + symbols.size) + 3 * len(self._alive) + 16
        out = np.empty(room, np.uint8)
        length = _encode(
            self._side.address, side.ctypes.data, side.shape[1], self._alive.ctypes.data, self._scales.address,
            symbols.ctypes.data, rows.ctypes.data, symbols.size, out.ctypes.data, room,
        )  # fmt: skip
        raise_failure(length)
        return out[:length].tobytes()

    def decode(self, body: bytes, cells: int, count: int, rows_of: RowsOf) -> tuple[Symbols, Symbols]:
        """See :class:`runtime.coder.HyperCoder`."""
        side, symbols = np.empty((len(self._alive), cells), np.int32), np.empty(count, np.int32)
        state = self._receiver.ctypes.data
        raise_failure(
            _begin(self._side.address, state, body, len(body), side.ctypes.data, cells, self._alive.ctypes.data)
        )
        rows = np.ascontiguousarray(rows_of(side))
        raise_failure(_end(self._scales.address, state, symbols.ctypes.data, rows.ctypes.data, count))
        return side, symbols
