"""CompressAI's byte strings, written from its published arithmetic: 64-bit rANS, 32-bit words, 16-bit tables.

Only the tests need it, as proof that our symbols and the prior's tables are the original ones.
"""

from __future__ import annotations

import numpy as np

_LOW = 1 << 31
_NIBBLE = 4


def encode(symbols: np.ndarray, cdf: np.ndarray, lengths: np.ndarray, offsets: np.ndarray) -> bytes:
    """String of symbols (channels, height, width), channel after channel, each with its channel's table."""
    rows = np.broadcast_to(np.arange(len(symbols))[:, None, None], symbols.shape)
    return encode_indexed(symbols, rows, cdf, lengths, offsets)


def encode_indexed(
    symbols: np.ndarray, rows: np.ndarray, cdf: np.ndarray, lengths: np.ndarray, offsets: np.ndarray
) -> bytes:
    """The same with a table for each symbol."""
    steps: list[tuple[int, int, int]] = []  # start, frequency, bits of precision
    tables = cdf.tolist()
    for symbol, row in zip(symbols.ravel().tolist(), rows.ravel().tolist(), strict=True):
        table, last = tables[row], int(lengths[row]) - 2
        value = symbol - int(offsets[row])
        inside = 0 <= value < last
        bin_ = value if inside else last
        steps.append((table[bin_], table[bin_ + 1] - table[bin_], 16))
        if not inside:
            steps += [(nibble, 1, _NIBBLE) for nibble in _escape(value, last)]
    return _write(steps)


def _escape(value: int, last: int) -> list[int]:
    """Nibbles of a value outside the table: how many digits, then the digits, least significant first."""
    raw = -2 * value - 1 if value < 0 else 2 * (value - last)
    digits = []
    while raw:
        digits.append(raw & 15)
        raw >>= 4
    count = len(digits)
    return [15] * (count // 15) + [count % 15] + digits


def _write(steps: list[tuple[int, int, int]]) -> bytes:
    state, words = _LOW, []
    for start, frequency, bits in reversed(steps):
        if state >= ((_LOW >> bits) << 32) * frequency:
            words.append(state & 0xFFFFFFFF)
            state >>= 32
        state = (state // frequency << bits) + state % frequency + start
    words += [state >> 32, state & 0xFFFFFFFF]
    return np.array(words[::-1], "<u4").tobytes()
