"""Where frames come from, one file a kind, imported when asked for.

The first kind whose pattern fits is taken; paths come last, so ``./camera`` is a folder of that name.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import UsageError
from runtime.pictures import SUFFIXES
from runtime.stream.frames import Source


@dataclass(frozen=True)
class SourceSpec:
    """What is known of a kind of source without importing it."""

    name: str
    module: str
    words: str
    """How a user asks for it."""
    fits: Callable[[str], object]

    def open(self, word: str) -> Source:
        """Open it; a UsageError names what is not installed."""
        opened: Source = importlib.import_module(self.module).open(word)
        return opened


def _is_pictures(word: str) -> bool:
    path = Path(word)
    return path.is_dir() or (path.is_file() and path.suffix.lower() in SUFFIXES)


SOURCES = {
    spec.name: spec
    for spec in (
        SourceSpec(
            "camera",
            "runtime.stream.sources.camera",
            "camera, camera:0 or /dev/video0",
            re.compile(r"camera(:\d+)?|/dev/video\d+").fullmatch,
        ),
        SourceSpec(
            "picamera",
            "runtime.stream.sources.picamera",
            "picamera or picamera:0",
            re.compile(r"picamera(:\d+)?").fullmatch,
        ),
        SourceSpec("mjpeg", "runtime.stream.sources.mjpeg", "http://... (MJPEG)", re.compile(r"(?i)https?://").match),
        SourceSpec("folder", "runtime.stream.sources.folder", "a folder of pictures", _is_pictures),
        SourceSpec("video", "runtime.stream.sources.video", "a video file", lambda word: Path(word).is_file()),
    )
}


def spec_for(word: str) -> SourceSpec:
    """The kind of source that a word asks for."""
    for spec in SOURCES.values():
        if spec.fits(word):
            return spec
    known = "; ".join(spec.words for spec in SOURCES.values())
    raise UsageError(f"{word} is no source. Sources are: {known}")
