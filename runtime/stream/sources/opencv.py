"""What the camera and the video file share of OpenCV."""

from __future__ import annotations

import os
from typing import Any

from runtime.preprocess import Pixels


def load() -> Any:
    """Its module, silenced: it prints on its own what is told here in one line."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # FFmpeg inside it asks for this once, and has no other ear
    import cv2

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2


def to_rgb(cv2: Any, pixels: Pixels) -> Pixels:
    """OpenCV keeps blue first."""
    turned: Pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return turned
