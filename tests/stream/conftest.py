"""A bundle, photographs as a camera would send them, and ways to run the command."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from runtime import Decoder, Encoder
from runtime.commands import main, stream
from runtime.preprocess import decode
from runtime.stream import post
from runtime.stream.feed import Feed, feed_for
from runtime.stream.sources import mjpeg


@dataclass(frozen=True)
class Outcome:
    """What a shell would see; with ``--json``, what it said."""

    code: int
    out: str
    err: str

    @property
    def told(self) -> dict[str, Any]:
        return json.loads(self.out.splitlines()[-1])


@pytest.fixture(scope="session")
def bundle(make_bundle) -> Path:
    return make_bundle("ours_n0", "onnx", weights="seeded")


@pytest.fixture(scope="session")
def jpegs(photographs) -> list[bytes]:
    """Seven views of two photographs, no two alike."""
    views = []
    for index in range(7):
        with Image.open(photographs[index % 2]) as image:
            view = image.crop((10 * index, 5 * index, 10 * index + 500, 5 * index + 380)).resize((320, 243))
        file = io.BytesIO()
        view.save(file, "JPEG", quality=80)
        views.append(file.getvalue())
    return views


@pytest.fixture(scope="session")
def expected(bundle, jpegs) -> list[np.ndarray]:
    """The symbols of each view."""
    encoder = Encoder.open(bundle, threads=1)
    symbols = [encoder.symbols(decode(jpeg, 224, "view")) for jpeg in jpegs]
    assert len({array.tobytes() for array in symbols}) == len(jpegs)
    return symbols


@pytest.fixture(scope="session")
def decoder(bundle) -> Decoder:
    return Decoder.open(bundle)


@pytest.fixture
def call(capfd, bundle) -> Callable[..., Outcome]:
    """``stream BUNDLE ...`` in this process, on one thread."""

    def run(*arguments: object) -> Outcome:
        capfd.readouterr()
        try:
            code = main(["stream", str(bundle), "--threads", "1", *map(str, arguments)])
        except SystemExit as stop:
            code = stop.code
        return Outcome(code, *capfd.readouterr())

    return run


@pytest.fixture
def serve() -> Iterator[Callable[..., Any]]:
    """Starts servers, and ends them."""
    running = []

    def start(kind: Callable[..., Any], *arguments: object, **more: object) -> Any:
        running.append(kind(*arguments, **more))
        return running[-1]

    yield start
    for server in running:
        server.close()


@pytest.fixture
def feeds(monkeypatch) -> list[Feed]:
    """The feeds that the command opens, for those who must know how far it is."""
    opened: list[Feed] = []

    def open_feed(*arguments):
        opened.append(feed_for(*arguments))
        return opened[-1]

    monkeypatch.setattr(stream, "feed_for", open_feed)
    return opened


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch) -> None:
    """Waiting is not what is tested."""
    monkeypatch.setattr(mjpeg, "_PAUSES", (0.01, 0.05))
    monkeypatch.setattr(post, "_PAUSES", (0.01, 0.02))


def payloads(folder: Path) -> dict[int, bytes]:
    """Number to content; nothing else may lie there."""
    files = sorted(folder.iterdir())
    assert all(file.suffix == ".spl" and len(file.stem) == 8 for file in files), files
    return {int(file.stem): file.read_bytes() for file in files}
