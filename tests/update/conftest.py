"""Bundles, a device's link and servers on the loopback."""

from __future__ import annotations

import contextlib
import http.server
import shutil
import threading
from pathlib import Path

import pytest

from runtime.bundle import Bundle, seal


@pytest.fixture(scope="module")
def bundles(make_bundle, tmp_path_factory) -> list[Path]:
    """Three of one model; the third is the first with another card."""
    third = tmp_path_factory.mktemp("third") / "bundle"
    shutil.copytree(make_bundle(), third)
    (third / "README.md").write_text("another card\n")
    seal(third, Bundle.open(make_bundle()).manifest)
    return [make_bundle(), make_bundle(weights="seeded"), third]


@pytest.fixture
def link(tmp_path) -> Path:
    return tmp_path / "device" / "current"


@pytest.fixture
def serve():
    """Starts servers on the loopback; ``answer(handler)`` does what it likes with each request."""
    with contextlib.ExitStack() as stack:

        def start(answer) -> str:
            class Handler(http.server.BaseHTTPRequestHandler):
                def do_GET(self):
                    answer(self)

                def log_message(self, *_):
                    pass

            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}/bundle.tar.gz"

        yield start


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
