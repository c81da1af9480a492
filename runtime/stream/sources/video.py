"""A video file, through OpenCV or PyAV, whichever is installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from runtime.errors import SplitportError, UsageError
from runtime.preprocess import Picture, Pixels
from runtime.stream.frames import Shot, Source
from runtime.stream.sources import opencv


class Video(Source):
    """Frame by frame, upright, at the loop's pace and not at the recording's."""

    def __init__(self, path: str, frames: Iterator[Pixels]) -> None:
        super().__init__(path)
        self._frames = frames

    def shots(self) -> Iterator[Shot]:
        """All frames that can be read; a file that breaks off ends there."""
        for index, pixels in enumerate(self._frames):
            yield _shot(f"frame {index} of {self.name}", pixels)


def _shot(name: str, pixels: Pixels) -> Shot:
    def load(size: int) -> Picture:
        return pixels

    return Shot(name, load)


def open(word: str) -> Video:
    """The file of that path."""
    try:
        return Video(word, _with_opencv(opencv.load(), word))
    except ImportError:
        pass
    try:
        import av
    except ImportError as why:
        raise UsageError(
            f"{word}: a video file needs OpenCV or PyAV: pip install opencv-python-headless, or pip install av"
        ) from why
    return Video(word, _with_pyav(av, word))


def _with_opencv(cv2: Any, path: str) -> Iterator[Pixels]:
    capture = cv2.VideoCapture(path)
    if not capture.isOpened():
        raise SplitportError(f"{path} is not a video that OpenCV can read")
    return _opencv_frames(cv2, capture)


def _opencv_frames(cv2: Any, capture: Any) -> Iterator[Pixels]:
    try:
        while True:
            there, pixels = capture.read()
            if not there:
                return
            yield opencv.to_rgb(cv2, pixels)
    finally:
        capture.release()


def _with_pyav(av: Any, path: str) -> Iterator[Pixels]:
    try:
        container = av.open(path)
        if not container.streams.video:
            raise SplitportError(f"{path} holds no video")
    except av.FFmpegError as why:
        raise SplitportError(f"{path} is not a video that PyAV can read") from why
    return _pyav_frames(av, container)


def _pyav_frames(av: Any, container: Any) -> Iterator[Pixels]:
    with container:
        frames = container.decode(video=0)
        while True:
            try:
                frame = next(frames)
            except (StopIteration, av.FFmpegError):
                return
            # OpenCV turns a telephone's recording upright by itself; older PyAV does not tell the angle.
            turns = round(getattr(frame, "rotation", 0) / 90)
            yield np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), turns))
