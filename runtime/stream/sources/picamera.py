"""A camera on a Raspberry Pi's ribbon cable, through picamera2."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from runtime.errors import SplitportError, UsageError
from runtime.preprocess import Picture
from runtime.stream.frames import Shot, Source


class PiCamera(Source):
    """picamera2's video configuration: 1280x720 at about 30 frames a second."""

    live = True

    def __init__(self, name: str, camera: Any) -> None:
        super().__init__(name)
        self._camera = camera
        self._closed = threading.Event()

    def shots(self) -> Iterator[Shot]:
        """Whatever comes."""
        try:
            while not self._closed.is_set():
                yield _shot(self.name, self._camera.capture_array("main"))
        finally:
            self._camera.stop()
            self._camera.close()

    def close(self) -> None:
        """Stopping it here would take it from under a thread that reads."""
        self._closed.set()


def _shot(name: str, pixels: Any) -> Shot:
    def load(size: int) -> Picture:
        return pixels  # type: ignore[no-any-return]

    return Shot(name, load)


def open(word: str) -> PiCamera:
    """``picamera`` or ``picamera:1``."""
    try:
        from picamera2 import Picamera2
    except ImportError as why:
        raise UsageError(
            "picamera needs picamera2: sudo apt install python3-picamera2, and a virtual environment made with "
            f"--system-site-packages ({why})"
        ) from why
    number = int(word.partition(":")[2] or 0)
    try:
        camera = Picamera2(number)
        # libcamera names the order of bits, not of bytes: its BGR888 has red first in memory.
        camera.configure(camera.create_video_configuration(main={"format": "BGR888"}))
        camera.start()
    except (RuntimeError, IndexError) as why:
        raise SplitportError(f"cannot open {word}: {why}; rpicam-hello --list-cameras shows what is there") from why
    return PiCamera(word, camera)
