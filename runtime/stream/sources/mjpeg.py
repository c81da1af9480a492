"""MJPEG over HTTP: what most network cameras and ``mjpg-streamer`` give. Standard library only."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator
from functools import partial
from typing import TypeAlias

from runtime.errors import SplitportError
from runtime.preprocess import decode
from runtime.stream.frames import Shot, Source
from runtime.stream.sources.multipart import Parts
from runtime.stream.web import TROUBLES, Address, said

#: Seconds that a server may say nothing.
_SILENCE = 10.0
#: Seconds before it is called again: the first pause, and the longest.
_PAUSES = 0.2, 5.0
_PIECE = 64 << 10

_Call: TypeAlias = tuple[http.client.HTTPConnection, http.client.HTTPResponse]


class Mjpeg(Source):
    """Calls again where the connection breaks. The first call is made at once: a wrong address should be told."""

    live = True
    patience = 30.0

    def __init__(self, address: Address) -> None:
        super().__init__(address.url)
        self._address = address
        self._closed = threading.Event()
        self._socket: socket.socket | None = None
        try:
            self._called: _Call | None = self._call()
        except (*TROUBLES, ValueError) as why:
            raise SplitportError(f"{self.name}: {said(why)}") from why

    def shots(self) -> Iterator[Shot]:
        """Each part, damaged or not; a part that a broken connection cuts off is none."""
        pause = _PAUSES[0]
        while not self._closed.is_set():
            try:
                for part in self._parts():
                    self.trouble, pause = "", _PAUSES[0]
                    yield Shot(self.name, partial(decode, part, name=self.name))
                self.trouble = "the server ended the stream"
            except (*TROUBLES, ValueError) as why:
                self.trouble = said(why)
            self._closed.wait(pause)
            pause = min(2 * pause, _PAUSES[1])

    def close(self) -> None:
        """Wake the reader from its wait for the server."""
        self._closed.set()
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _parts(self) -> Iterator[bytes]:
        (connection, answer), self._called = self._called or self._call(), None
        with contextlib.closing(connection), contextlib.closing(answer):
            parts = Parts(str(answer.headers.get_boundary()))
            while not self._closed.is_set() and (piece := answer.read1(_PIECE)):
                yield from parts.feed(piece)

    def _call(self) -> _Call:
        """Ask for the stream; a ValueError where something else is answered."""
        connection = self._address.connection(_SILENCE)
        with contextlib.ExitStack() as undo:
            undo.callback(connection.close)
            connection.connect()
            self._socket = connection.sock
            connection.request("GET", self._address.target, headers={"Accept": "multipart/x-mixed-replace"})
            answer = connection.getresponse()
            undo.callback(answer.close)
            if answer.status != http.client.OK:
                raise ValueError(f"the server answers {answer.status} {answer.reason}")
            kind = answer.headers.get_content_type()
            if not kind.startswith("multipart/") or not answer.headers.get_boundary():
                raise ValueError(f"the server answers with {kind}, not with multipart/x-mixed-replace, as MJPEG is")
            undo.pop_all()
            return connection, answer


def open(word: str) -> Mjpeg:
    """The stream at that address."""
    return Mjpeg(Address.parse(word))
