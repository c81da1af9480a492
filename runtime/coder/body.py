"""What the Python coders share: bins, escapes, and the tight flush."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from runtime.errors import CorruptBody, SymbolError, SymbolsLeftOver
from runtime.tables import TOTAL, Tables

if TYPE_CHECKING:
    from runtime.coder import Symbols

_INT16 = np.iinfo(np.int16)
#: An escaped value is sent as two bytes, each of the 256 values equally likely.
BYTE_WEIGHTS = np.full(256, TOTAL // 256, np.uint32)
_WINDOW = 64


def check_range(symbols: Symbols) -> None:
    """Refuse symbols that not even an escape can carry."""
    if symbols.min(initial=0) < _INT16.min or symbols.max(initial=0) > _INT16.max:
        raise SymbolError("a symbol is outside 16 bits; the latent of this picture cannot be coded")


def flag_weights(zero_weight: int | np.unsignedinteger) -> npt.NDArray[np.uint32]:
    """Two-entry table of "the channel is coded" (0) and "the channel is all zero" (1)."""
    return np.array([TOTAL - int(zero_weight), int(zero_weight)], np.uint32)


def to_bins(symbols: Symbols, tables: Tables, channel: int) -> tuple[Symbols, Symbols]:
    """Bins of one channel's symbols, and the values that had to take the escape bin."""
    escape = int(tables.bins[channel]) - 1
    bins = symbols - tables.low[channel]
    outside = (bins < 0) | (bins >= escape)
    return np.where(outside, escape, bins).astype(np.int32), symbols[outside]


def to_zigzag(values: Symbols) -> Symbols:
    """Escaped values as bytes: zigzag into 16 bits, the upper byte first."""
    code = ((values << 1) ^ (values >> 31)) & 0xFFFF
    return np.stack([code >> 8, code & 0xFF], axis=1).astype(np.int32).ravel()


def from_zigzag(parts: Symbols) -> Symbols:
    """Inverse of :func:`to_zigzag`."""
    code = parts[0::2].astype(np.int32) << 8 | parts[1::2]
    return (code >> 1) ^ -(code & 1)


def tighten(words: npt.NDArray[np.uint32], low: int, span: int) -> bytes:
    """Cut a sealed word string to the shortest byte string inside its final interval [low, low + span).

    ``low`` is the coder's 64-bit state, of which the carries are already in the words: the sealed words name a point
    of the interval, so the interval's true start is that point less its distance from ``low``.
    """
    if not len(words):
        return b""
    prefix = max(len(words) - _words_in_window(low, span), 0)
    bits = 32 * prefix + _WINDOW
    sealed = int.from_bytes(words.astype(">u4").tobytes(), "big") << (bits - 32 * len(words))
    start = sealed - (sealed - low) % (1 << _WINDOW)
    for size in range(0, _WINDOW + 1, 8):
        step = 1 << (_WINDOW - size)
        point = -(-start // step) * step
        if point - start < span:
            return point.to_bytes(bits // 8, "big").rstrip(b"\0")
    raise AssertionError("a step of 1 always lies inside the interval")


def _words_in_window(low: int, span: int) -> int:
    """How many of the sealed words belong to the open 64-bit window: one, or two when the seal needed a zero word."""
    point = (low + (1 << 32) - 1) >> 32
    return 2 if (low + span) >> 32 & 0xFFFFFFFF == point & 0xFFFFFFFF else 1


def check_rules(symbols: Symbols, alive: npt.NDArray[np.bool_], escaped: npt.NDArray[np.bool_], tables: Tables) -> None:
    """Refuse what decodes but no sender writes: a live channel of zeros, an escape for a value that has a bin."""
    check_escapes(symbols, escaped, tables.low[:, None], tables.bins.astype(np.int32)[:, None] - 1)
    if np.any(alive & ~symbols.any(axis=1)):
        raise CorruptBody("the body breaks the rules of its codec; send the payload again")


def check_escapes(symbols: Symbols, escaped: npt.NDArray[np.bool_], low: Symbols, escape: Symbols) -> None:
    """Refuse an escape for a value that has a bin of its own."""
    if np.any(escaped & (symbols >= low) & (symbols < low + escape)):
        raise CorruptBody("the body breaks the rules of its codec; send the payload again")


def check_canonical(body: bytes, written: bytes) -> None:
    """Accept a body only if it is the very string that a sender writes for the symbols that it holds.

    One that was cut short cannot be told from a shorter message: it is the checksum around it that knows.
    """
    if written != body:
        raise SymbolsLeftOver("the body goes on after the last symbol; send the payload again")
