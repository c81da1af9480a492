"""The C coder of ``plain.c``, loaded with ctypes so that one library serves every Python version."""

from __future__ import annotations

import ctypes
import importlib.machinery
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.coder import Symbols
from runtime.errors import CorruptBody, SymbolError, SymbolsLeftOver
from runtime.tables import TOTAL, Tables

_BUCKETS = 256
_FAILURES = {
    -1: CorruptBody("the body names a point outside every symbol; send the payload again"),
    -2: SymbolsLeftOver("the body goes on after the last symbol; send the payload again"),
    -3: SymbolError("a symbol is outside 16 bits; the latent of this picture cannot be coded"),
}


def _library() -> ctypes.CDLL:
    here = Path(__file__).parent
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        if (path := here / f"_range_coder{suffix}").exists():
            try:
                return ctypes.CDLL(str(path))
            except OSError as why:  # built for another machine
                raise ImportError(f"{path.name} cannot be loaded: {why}") from why
    raise ImportError("the C coder has not been built; pip install -e . builds it where there is a compiler")


class _Fields(ctypes.Structure):
    _fields_ = (
        ("channels", ctypes.c_uint32),
        ("row", ctypes.c_void_p),
        ("bins", ctypes.c_void_p),
        ("low", ctypes.c_void_p),
        ("zero_weight", ctypes.c_void_p),
        ("cumulative", ctypes.c_void_p),
        ("bucket", ctypes.c_void_p),
    )


LIBRARY = _library()
_encode, _decode = LIBRARY.sp_encode_plain, LIBRARY.sp_decode_plain
_encode.restype = _decode.restype = ctypes.c_int64
_POINTER, _SIZE = ctypes.c_void_p, ctypes.c_size_t
_encode.argtypes = (_POINTER, _POINTER, _SIZE, _POINTER, _POINTER, _SIZE)
_decode.argtypes = (_POINTER, ctypes.c_char_p, _SIZE, _POINTER, _SIZE, _POINTER)


def raise_failure(status: int) -> None:
    """Turn a negative code of the C side into its error."""
    if status < 0:
        raise type(_FAILURES[status])(*_FAILURES[status].args)


class CTables:
    """Tables and lookups laid out as the C side wants them, at an address."""

    def __init__(self, tables: Tables) -> None:
        cumulative, bucket = _layout(tables)
        # The C side keeps bare pointers into these arrays, so they must live as long as this.
        self._arrays: dict[str, npt.NDArray[Any]] = {
            "row": (tables.row[:-1] + np.arange(tables.channels)).astype(np.uint32),
            "bins": tables.bins,
            "low": tables.low,
            "zero_weight": tables.zero_weight,
            "cumulative": cumulative,
            "bucket": bucket,
        }
        pointers = {name: array.ctypes.data for name, array in self._arrays.items()}
        self._fields = _Fields(channels=tables.channels, **pointers)
        self.address = ctypes.addressof(self._fields)


class NativeCoder:
    """One call codes a whole symbol array; tables and lookups are laid out once, here."""

    def __init__(self, tables: Tables) -> None:
        self._channels = tables.channels
        self._tables = CTables(tables)
        self._address = self._tables.address
        self._alive = np.empty(tables.channels, np.uint8)

    def encode(self, symbols: Symbols) -> bytes:
        """See :class:`runtime.coder.Coder`."""
        symbols = np.ascontiguousarray(symbols, dtype=np.int32)
        # 24 bits at most for a bin and 16 for an escaped value, and a few bytes for flags and flush.
        room = 5 * symbols.size + 3 * self._channels + 16
        out = np.empty(room, np.uint8)
        length = _encode(
            self._address, symbols.ctypes.data, symbols.shape[1], self._alive.ctypes.data, out.ctypes.data, room
        )
        raise_failure(length)
        return out[:length].tobytes()

    def decode(self, body: bytes, cells: int) -> Symbols:
        """See :class:`runtime.coder.Coder`."""
        symbols = np.empty((self._channels, cells), np.int32)
        status = _decode(self._address, body, len(body), symbols.ctypes.data, cells, self._alive.ctypes.data)
        raise_failure(status)
        return symbols


def _layout(tables: Tables) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint16]]:
    """Cumulative weights of all channels, and for each channel the bin that each 1/256 of the range begins in."""
    edges = np.arange(_BUCKETS, dtype=np.int64) * (TOTAL // _BUCKETS)
    rows, buckets = [], []
    for channel in range(tables.channels):
        cumulative = np.concatenate([[0], np.cumsum(tables.row_weights(channel), dtype=np.int64)])
        rows.append(cumulative.astype(np.uint32))
        first = np.searchsorted(cumulative, edges, side="right") - 1
        buckets.append(np.append(first, tables.bins[channel] - 1).astype(np.uint16))
    return np.concatenate(rows), np.concatenate(buckets)
