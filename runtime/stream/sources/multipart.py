"""Parts of a multipart stream out of the pieces in which it arrives: bounded memory, no input or output."""

from __future__ import annotations

import re
from collections.abc import Iterator

#: A part beyond this is no picture of any camera.
PART_LIMIT = 16 << 20
_HEAD_LIMIT = 8 << 10
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_LENGTH = re.compile(rb"(?im)^content-length[ \t]*:[ \t]*(\d{1,18})[ \t]*\r?$")


class Parts:
    """Feed it bytes, take parts. A part that states its length comes out as soon as it is complete; any other when
    the next one begins."""

    def __init__(self, boundary: str, limit: int = PART_LIMIT) -> None:
        # Some cameras write the two dashes into the boundary's name, some do not, and some do both.
        self._mark = b"--" + boundary.strip().lstrip("-").encode("latin-1")
        self._limit = limit
        self._buffer = bytearray()
        self._body: int | None = None
        """Where the current part's content begins; None between parts."""
        self._length: int | None = None
        self._searched = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The parts that are complete with this piece; a ValueError where the stream is no such thing."""
        self._buffer += data
        while (part := self._next()) is not None:
            yield part
        if len(self._buffer) > self._limit + _HEAD_LIMIT:
            raise ValueError(f"a part is longer than {self._limit:,} bytes")

    def _next(self) -> bytes | None:
        if self._body is None and not self._find_head():
            return None
        return self._by_mark() if self._length is None else self._by_length(self._length)

    def _find_head(self) -> bool:
        """Skip to a boundary and read the lines below it; whatever stands before it is lost, as it must be."""
        mark = self._buffer.find(self._mark)
        if mark < 0:
            del self._buffer[: max(0, len(self._buffer) - len(self._mark) + 1)]
            return False
        del self._buffer[:mark]
        end = _HEAD_END.search(self._buffer)
        if end is None:
            if len(self._buffer) > _HEAD_LIMIT:
                raise ValueError(f"the lines above a part are longer than {_HEAD_LIMIT:,} bytes")
            return False
        stated = _LENGTH.search(self._buffer, 0, end.end())
        self._length = int(stated[1]) if stated else None
        if self._length is not None and self._length > self._limit:
            raise ValueError(f"a part of {self._length:,} bytes is announced")
        self._body = self._searched = end.end()
        return True

    def _by_length(self, length: int) -> bytes | None:
        assert self._body is not None
        end = self._body + length
        if len(self._buffer) < end:
            return None
        # A length that is too great swallows the next boundary.
        mark = self._buffer.find(self._mark, self._body, end)
        return self._take(end if mark < 0 else mark)

    def _by_mark(self) -> bytes | None:
        assert self._body is not None
        mark = self._buffer.find(self._mark, self._searched)
        if mark < 0:
            self._searched = max(self._body, len(self._buffer) - len(self._mark) + 1)
            return None
        return self._take(mark)

    def _take(self, end: int) -> bytes:
        assert self._body is not None
        part = bytes(self._buffer[self._body : end])
        del self._buffer[:end]
        self._body = None
        return part
