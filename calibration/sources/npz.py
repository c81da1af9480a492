"""A NumPy archive: pictures as one array of uint8 (count, height, width, 3), labels as another."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from calibration.sample import Found, Sample
from calibration.sources import Keys
from runtime.errors import UsageError

IMAGES, LABELS = ("images", "x", "arr_0"), ("labels", "y", "arr_1")


def find(data: str, keys: Keys, seed: int) -> Found:
    """Arrays under the given names or the usual ones."""
    path = Path(data)
    if not path.is_file():
        raise UsageError(f"{data} is not a file")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            images = _array(archive, keys.image, IMAGES, data)
            labels = _array(archive, keys.label, LABELS, data, needed=keys.label is not None)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as why:
        if isinstance(why, UsageError):
            raise
        raise UsageError(f"{data} is truncated or not a NumPy archive: {why}") from why
    assert images is not None
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise UsageError(f"{data}: pictures must be uint8 (count, height, width, 3), not {images.dtype}{images.shape}")
    if labels is not None and labels.shape != images.shape[:1]:
        raise UsageError(f"{data}: {labels.shape} labels for {len(images)} pictures")

    def samples() -> Iterator[Sample]:
        for index, image in enumerate(images):
            yield Sample(f"{index}", image, None if labels is None else labels[index].item())

    return Found(samples)


def _array(
    archive: np.lib.npyio.NpzFile, asked: str | None, usual: tuple[str, ...], data: str, needed: bool = True
) -> npt.NDArray[np.generic] | None:
    name = asked or next((name for name in usual if name in archive), None)
    if name and name in archive:
        return np.asarray(archive[name])
    if needed:
        raise UsageError(f"{data} has no array {asked or ' or '.join(usual)}; it has {', '.join(archive)}")
    return None
