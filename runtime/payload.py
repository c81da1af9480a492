"""The wire format: a 12-byte header around one range-coded body (little endian).

::

    0   2  magic "SP"
    2   1  version, 1
    3   1  flags: bit 0 = the latent grid is written out; bit 1 = plain tables although the bundle has context tables
    4   4  table id: first 4 bytes of the SHA-256 of the canonical tables
    8   4  CRC-32 of bytes 0..7 and of everything from byte 12 on
    12     [height u16, width u16 if bit 0]  body

The checks run in the order in which they narrow the cause: is it ours at all, is it intact, is it for these tables,
is it of a size we accept. Nothing is allocated for symbols before all of them have passed.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection
from dataclasses import dataclass

from runtime.errors import (
    BadChecksum,
    BadMagic,
    PayloadError,
    TooLarge,
    TruncatedPayload,
    UnsupportedFlags,
    UnsupportedVersion,
    WrongTable,
)

MAGIC = b"SP"
VERSION = 1
HEADER_BYTES = 12
FLAG_GRID = 1
FLAG_PLAIN = 2

Grid = tuple[int, int]


@dataclass(frozen=True)
class Limits:
    """What a decoder accepts before it allocates anything."""

    grid: Grid
    payload_bytes: int


@dataclass(frozen=True)
class Payload:
    """A payload taken apart. ``grid`` is None when it is the one of the manifest."""

    table_id: bytes
    body: bytes
    grid: Grid | None = None
    plain: bool = False


def pack(payload: Payload) -> bytes:
    """Put header and body together."""
    flags = (FLAG_GRID if payload.grid else 0) | (FLAG_PLAIN if payload.plain else 0)
    head = MAGIC + bytes((VERSION, flags)) + payload.table_id
    rest = (struct.pack("<HH", *payload.grid) if payload.grid else b"") + payload.body
    return head + struct.pack("<I", zlib.crc32(rest, zlib.crc32(head))) + rest


def unpack(data: bytes, known: Collection[bytes], limits: Limits, *, context: bool = False) -> Payload:
    """Check and take apart a payload; every flaw has its own type under PayloadError.

    ``known`` holds the ids of the tables at hand. ``context`` says that they include context tables, without which
    the flag for plain ones has no meaning.
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise PayloadError(f"a payload is bytes, not {type(data).__name__}")
    data = bytes(data)
    if len(data) < HEADER_BYTES:
        raise TruncatedPayload(f"{len(data)} bytes are fewer than a header has ({HEADER_BYTES}); send it again")
    if data[:2] != MAGIC:
        raise BadMagic(f"begins with {data[:2]!r}, not {MAGIC!r}: this is not a splitport payload")
    if data[2] != VERSION:
        raise UnsupportedVersion(f"wire format {data[2]}; this program reads {VERSION}: update it")
    if len(data) > limits.payload_bytes:
        raise TooLarge(f"{len(data)} bytes; the bundle accepts at most {limits.payload_bytes}")
    flags, table_id, rest = data[3], data[4:8], data[HEADER_BYTES:]
    if struct.unpack_from("<I", data, 8)[0] != zlib.crc32(rest, zlib.crc32(data[:8])):
        raise BadChecksum("checksum differs: the payload was damaged or cut short; send it again")
    allowed = FLAG_GRID | (FLAG_PLAIN if context else 0)
    if flags & ~allowed:
        raise UnsupportedFlags(f"flags {flags:#04x} hold a bit that this bundle cannot honour")
    if table_id not in known:
        listed = ", ".join(sorted(i.hex() for i in known)) or "none"
        raise WrongTable(
            f"coded with tables {table_id.hex()}; at hand: {listed}. Give the sender's bundle with --tables"
        )
    grid = None
    if flags & FLAG_GRID:
        if len(rest) < 4:
            raise TruncatedPayload("ends before the grid that its flags announce; send it again")
        grid = struct.unpack_from("<HH", rest)
        rest = rest[4:]
        if not (1 <= grid[0] <= limits.grid[0] and 1 <= grid[1] <= limits.grid[1]):
            most = "x".join(map(str, limits.grid))
            raise TooLarge(f"latent grid {grid[0]}x{grid[1]}; the bundle accepts 1x1 to {most}")
    return Payload(table_id=table_id, body=rest, grid=grid, plain=bool(flags & FLAG_PLAIN))
