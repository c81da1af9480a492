"""Pictures for those who gave none: photographs that an installed dependency carries, in pieces, and drawn ones.

Enough to find the ranges of activations in order of magnitude; not enough to promise an accuracy.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from calibration.choice import Pictures
from encoders.drawn import draw

#: Pieces that one photograph is cut into, each way.
_PIECES = 3


def builtin(count: int, size: int) -> Pictures:
    """Half of them pieces of photographs where scikit-learn is installed, the rest drawn."""
    photographs = _photographs(size)[: count // 2]
    pixels = [*photographs, *(draw(seed, size) for seed in range(1, 1 + count - len(photographs)))]
    names = [f"{index}" for index in range(count)]
    digest = hashlib.sha256(b"".join(p.tobytes() for p in pixels)).hexdigest()
    return Pictures(pixels, [None] * count, names, "built-in", 0, digest)


def _photographs(size: int) -> list[npt.NDArray[np.uint8]]:
    found = importlib.util.find_spec("sklearn")
    if found is None or found.origin is None:
        return []
    pieces = []
    for file in sorted((Path(found.origin).parent / "datasets" / "images").glob("*.jpg")):
        with Image.open(file) as opened:
            image = opened.convert("RGB")
        width, height = image.width // _PIECES, image.height // _PIECES
        for index in range(_PIECES**2):
            left, top = index % _PIECES * width, index // _PIECES * height
            piece = image.resize((size, size), Image.Resampling.BILINEAR, (left, top, left + width, top + height))
            pieces.append(np.asarray(piece))
    return pieces
