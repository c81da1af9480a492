"""SPIC's Huffman code, to compare payloads with: written from a description, byte for byte what it writes.

Whoever decodes such a stream must have the code table: codes are not canonical.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from typing import NamedTuple

#: Ends a stream that does not fill its last byte; comes before every symbol where counts are equal.
END = -1


class Code(NamedTuple):
    """Bits of one symbol, the first of them the highest of the value."""

    bits: int
    value: int


def codes(counts: Mapping[int, int]) -> dict[int, Code]:
    """A code for each symbol that was counted, and for the end."""
    heap = [(count, [(symbol, Code(0, 0))]) for symbol, count in {END: 1, **counts}.items()]
    heapq.heapify(heap)
    while len(heap) > 1:
        (first, rarest), (second, rarer) = heapq.heappop(heap), heapq.heappop(heap)
        joined = [(symbol, Code(code.bits + 1, code.value)) for symbol, code in rarest]
        joined += [(symbol, Code(code.bits + 1, code.value | 1 << code.bits)) for symbol, code in rarer]
        heapq.heappush(heap, (first + second, joined))
    return dict(heap[0][1])


def encode(symbols: Iterable[int], table: Mapping[int, Code]) -> bytes:
    """Bytes of the symbols; KeyError for one that was never counted."""
    bits = "".join(f"{table[symbol].value:0{table[symbol].bits}b}" for symbol in symbols)
    if missing := -len(bits) % 8:
        end = f"{table[END].value:0{table[END].bits}b}"
        bits += end[:missing].ljust(missing, "0")
    return int(bits or "0", 2).to_bytes(len(bits) // 8, "big")


def bits_per_symbol(counts: Mapping[int, int], table: Mapping[int, Code]) -> float:
    """What a symbol costs on average if symbols are as frequent as was counted."""
    return sum(count * table[symbol].bits for symbol, count in counts.items()) / sum(counts.values())
