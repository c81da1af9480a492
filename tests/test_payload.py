"""The wire format: literal bytes, one test for each rejection rule, and arbitrary strings."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import codecs, payload
from runtime.codecs import Message
from runtime.coder import available
from runtime.errors import (
    BadBody,
    BadChecksum,
    BadMagic,
    PayloadError,
    TooLarge,
    TruncatedPayload,
    UnsupportedFlags,
    UnsupportedVersion,
    WrongTable,
)
from runtime.payload import Limits, Payload, pack, unpack
from runtime.tables import TOTAL, Tables

TABLES = Tables.build([[TOTAL // 4] * 4, [TOTAL - 6, 1, 2, 3]], [-1, -1], [TOTAL // 2, TOTAL // 2])
LIMITS = Limits((16, 16), 4096)
GRID = (4, 5)


def signed(head: bytes, rest: bytes = b"") -> bytes:
    """A payload with a right checksum around whatever it holds."""
    return head + struct.pack("<I", zlib.crc32(rest, zlib.crc32(head))) + rest


def decode(data: bytes, coder: str | None = None) -> np.ndarray:
    parts = unpack(data, [TABLES.id], LIMITS)
    return codecs.make("factorized", TABLES, coder).decode(parts.body, parts.grid or GRID).symbols


def test_literal_bytes():
    data = pack(Payload(b"\1\2\3\4", b"body"))
    assert data[:8] == b"SP\x01\x00\1\2\3\4" and data[12:] == b"body"
    assert struct.unpack_from("<I", data, 8)[0] == zlib.crc32(b"SP\x01\x00\1\2\3\4body")
    with_grid = pack(Payload(b"\1\2\3\4", b"body", grid=(3, 258), plain=True))
    assert with_grid[:4] == b"SP\x01\x03" and with_grid[12:16] == b"\x03\x00\x02\x01"
    assert unpack(with_grid, [b"\1\2\3\4"], Limits((3, 258), 99), context=True) == Payload(
        b"\1\2\3\4", b"body", (3, 258), True
    )


ONES = Message(np.ones((2, *GRID), np.int32))
GOOD = pack(Payload(TABLES.id, codecs.make("factorized", TABLES, None).encode(ONES).body))
HEAD = GOOD[:8]


def _with(position: int, value: int) -> bytes:
    head = bytearray(HEAD)
    head[position] = value
    return signed(bytes(head), GOOD[12:])


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"", TruncatedPayload, "0 bytes"),
        (GOOD[:11], TruncatedPayload, "11 bytes"),
        (_with(0, 0x73), BadMagic, "not a splitport payload"),
        (_with(2, 2), UnsupportedVersion, "wire format 2"),
        (_with(3, 4), UnsupportedFlags, "0x04"),
        (_with(3, 0x80), UnsupportedFlags, "0x80"),
        (_with(3, payload.FLAG_PLAIN), UnsupportedFlags, "0x02"),
        (_with(4, HEAD[4] ^ 1), WrongTable, TABLES.id.hex()),
        (GOOD[:-1], BadChecksum, "checksum"),
        (GOOD[:8] + b"\0\0\0\0" + GOOD[12:], BadChecksum, "checksum"),
        (GOOD + b"x" * 5000, TooLarge, "at most 4096"),
        (signed(HEAD[:3] + b"\1" + HEAD[4:], b"\1\0\1"), TruncatedPayload, "grid"),
        (signed(HEAD[:3] + b"\1" + HEAD[4:], struct.pack("<HH", 17, 2)), TooLarge, "17x2"),
        (signed(HEAD[:3] + b"\1" + HEAD[4:], struct.pack("<HH", 0, 2)), TooLarge, "0x2"),
        (signed(HEAD[:3] + b"\1" + HEAD[4:], struct.pack("<HH", 0xFFFF, 0xFFFF)), TooLarge, "65535x65535"),
        (signed(HEAD, GOOD[12:] + b"\1"), BadBody, "goes on"),
        ("text", PayloadError, "bytes"),
    ],
)
def test_each_rejection_rule(data, error, message):
    with pytest.raises(error, match=message):
        decode(data)


def test_good_payload_decodes():
    assert np.array_equal(decode(GOOD), np.ones((2, *GRID), np.int32))


@pytest.mark.parametrize("coder", available())
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_byte_string_gives_a_typed_error_or_a_valid_tensor(coder, data):
    """Arbitrary strings, arbitrary bodies behind a right header, and bit flips in a good payload."""
    kind = data.draw(st.sampled_from(["anything", "body", "grid", "flip"]))
    if kind == "anything":
        message = data.draw(st.binary(max_size=64))
    elif kind == "body":
        message = signed(HEAD, data.draw(st.binary(max_size=80)))
    elif kind == "grid":
        grid = struct.pack("<HH", data.draw(st.integers(0, 20)), data.draw(st.integers(0, 20)))
        message = signed(HEAD[:3] + b"\1" + HEAD[4:], grid + data.draw(st.binary(max_size=80)))
    else:
        flipped = bytearray(GOOD)
        flipped[data.draw(st.integers(0, len(GOOD) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        message = bytes(flipped)
    try:
        symbols = decode(message, coder)
    except PayloadError:
        return
    assert symbols.dtype == np.int32 and symbols.ndim == 3 and symbols.shape[0] == 2
    assert symbols.min() >= -0x8000 and symbols.max() <= 0x7FFF


def test_memory_is_bounded_by_the_limits_not_by_the_payload():
    """A tiny payload that announces the largest grid allocates that grid and no more; a larger one nothing."""
    import tracemalloc

    largest = signed(HEAD[:3] + b"\1" + HEAD[4:], struct.pack("<HH", *LIMITS.grid))
    tracemalloc.start()
    try:
        with pytest.raises(PayloadError):
            decode(signed(HEAD[:3] + b"\1" + HEAD[4:], struct.pack("<HH", 0xFFFF, 0xFFFF)))
        refused = tracemalloc.get_traced_memory()[1]
        assert decode(largest).shape == (2, *LIMITS.grid)
        accepted = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert refused < 200_000
    assert accepted < 200_000 + 16 * 2 * LIMITS.grid[0] * LIMITS.grid[1]
