"""Real pictures from a folder: a deterministic choice of them, and a digest of what was chosen."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from runtime.errors import PictureError, UsageError
from runtime.pictures import pictures_in
from runtime.preprocess import to_pixels


@dataclass(frozen=True)
class Pictures:
    """Pictures ready for a graph, and what a manifest says of them."""

    pixels: list[npt.NDArray[np.uint8]]
    sha256: str
    skipped: tuple[str, ...]

    def provenance(self) -> dict[str, object]:
        """For the manifest: how many pictures and which, without paths of this machine."""
        return {"count": len(self.pixels), "skipped": len(self.skipped), "sha256": self.sha256}


def from_folder(folder: Path, count: int, size: int, seed: int = 0) -> Pictures:
    """Choose ``count`` pictures below a folder. A broken one is skipped and named; none at all is an error."""
    files = pictures_in(folder)
    random.Random(seed).shuffle(files)
    pixels: list[npt.NDArray[np.uint8]] = []
    skipped: list[str] = []
    sha = hashlib.sha256()
    for file in files:
        if len(pixels) == count:
            break
        try:
            pixels.append(to_pixels(file, size))
        except PictureError as why:
            skipped.append(str(why))
            continue
        sha.update(pixels[-1].tobytes())
    if not pixels:
        raise UsageError(f"{folder}: none of {len(files)} pictures could be read; the first: {skipped[0]}")
    return Pictures(pixels, sha.hexdigest(), tuple(skipped))
