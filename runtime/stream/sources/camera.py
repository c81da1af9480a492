"""A camera that the system knows, through OpenCV: V4L2 on Linux."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runtime.errors import SplitportError, UsageError
from runtime.preprocess import Picture, Pixels
from runtime.stream.frames import Shot, Source
from runtime.stream.sources import opencv

#: Seconds before a camera that gave nothing is asked again.
_PAUSE = 0.1


class Camera(Source):
    """Its own settings decide size and rate; ``v4l2-ctl`` changes them."""

    live = True

    def __init__(self, name: str, cv2: Any, capture: Any) -> None:
        super().__init__(name)
        self._cv2, self._capture = cv2, capture
        self._closed = threading.Event()

    def shots(self) -> Iterator[Shot]:
        """Whatever comes; a camera that gives nothing is asked again until the loop's patience ends."""
        try:
            while not self._closed.is_set():
                there, pixels = self._capture.read()
                if there:
                    self.trouble = ""
                    yield self._shot(pixels)
                else:
                    self.trouble = "it gives no picture; is it still plugged in?"
                    self._closed.wait(_PAUSE)
        finally:
            self._capture.release()

    def close(self) -> None:
        """Releasing it here would take it from under a thread that reads."""
        self._closed.set()

    def _shot(self, pixels: Pixels) -> Shot:
        def load(size: int) -> Picture:
            return opencv.to_rgb(self._cv2, pixels)

        return Shot(self.name, load)


def open(word: str) -> Camera:
    """``camera``, ``camera:1`` or ``/dev/video1``."""
    try:
        cv2 = opencv.load()
    except ImportError as why:
        raise UsageError(f"a camera needs OpenCV: pip install opencv-python-headless ({why})") from why
    number = int("".join(filter(str.isdigit, word)) or 0)
    capture = cv2.VideoCapture(number, cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY)
    if not capture.isOpened():
        raise SplitportError(f"cannot open {word}: {_reason(number)}")
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the driver's own queue would make the newest frame an old one
    return Camera(word, cv2, capture)


def _reason(number: int) -> str:
    if sys.platform != "linux":
        return "is it plugged in, and free?"
    there = sorted(str(path) for path in Path("/dev").glob("video*"))
    if f"/dev/video{number}" in there:
        return "another program has it, this user is not in the group video, or it gives no pictures"
    return f"there is no /dev/video{number}; there are: {', '.join(there) or 'none'}"
