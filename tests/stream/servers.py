"""A camera and a receiver on loopback: real sockets, real HTTP."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DEADLINE = 60.0


def wait_until(true: Callable[[], object], what: str) -> None:
    """Fails where it never comes; how long it takes is not tested."""
    end = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.002)


class Server:
    """One thread a connection; ``close`` ends them all and frees the port."""

    def __init__(self, port: int = 0) -> None:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                owner.count("GET")
                owner.get(self)

            def do_POST(self) -> None:
                owner.count("POST")
                owner.post(self)

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # clients that hang up are the subject of these tests

        self.calls: dict[str, int] = {"GET": 0, "POST": 0}
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._http = Quiet(("127.0.0.1", port), Handler)
        self.port = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/frames?camera=1"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    def count(self, verb: str) -> None:
        with self._lock:
            self.calls[verb] += 1

    def close(self) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def get(self, handler: BaseHTTPRequestHandler) -> None:
        handler.send_error(404)

    def post(self, handler: BaseHTTPRequestHandler) -> None:
        handler.send_error(404)


class MjpegServer(Server):
    """Sends what ``connections`` holds: for each connection a list of raw pieces, each sent when ``before`` lets it."""

    def __init__(
        self,
        connections: Iterable[Iterable[bytes]],
        before: Callable[[int], object] = lambda index: None,
        header: str = "multipart/x-mixed-replace; boundary=frame",
        port: int = 0,
        chunked: bool = False,
    ) -> None:
        self._connections, self._before, self._header, self._chunked = iter(connections), before, header, chunked
        super().__init__(port)

    def get(self, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", self._header)
        handler.send_header("Connection", "close")
        if self._chunked:
            handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.close_connection = True
        for index, piece in enumerate(next(self._connections, ())):
            self._before(index)
            if self.closing.is_set():
                return
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if self._chunked else piece)


def part(content: bytes, length: int | None = -1, boundary: bytes = b"--frame") -> bytes:
    """As cameras send it; ``length`` None states none, any other number may be a lie."""
    stated = len(content) if length == -1 else length
    head = b"" if stated is None else b"Content-Length: %d\r\n" % stated
    return b"%b\r\nContent-Type: image/jpeg\r\n%b\r\n%b\r\n" % (boundary, head, content)


class Receiver(Server):
    """Takes payloads. ``answers`` is asked with the number of the call and the frame's; 200 where it says nothing."""

    def __init__(self, answer: Callable[[int, int], int | None] = lambda call, frame: 200, port: int = 0) -> None:
        self.answer = answer
        self.taken: list[tuple[int, bytes]] = []
        self.asked: list[int] = []
        self.ports: set[int] = set()
        self.types: set[str | None] = set()
        self.said = b"thank you"
        self.hang_up = False
        super().__init__(port)

    def post(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        frame = int(handler.headers["Splitport-Frame"])
        self.asked.append(frame)
        self.ports.add(handler.client_address[1])
        self.types.add(handler.headers["Content-Type"])
        assert handler.path == "/frames?camera=1"
        status = self.answer(len(self.asked), frame) or 200
        if status == 200:
            self.taken.append((frame, body))
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(self.said)))
        handler.end_headers()
        handler.wfile.write(self.said)
        handler.close_connection = self.hang_up
