"""A folder of pictures. Where they lie in one folder a class, that folder's name is the class."""

from __future__ import annotations

from pathlib import Path

from calibration.sample import Found, Sample
from calibration.sources import Keys
from runtime.pictures import pictures_in


def find(data: str, keys: Keys, seed: int) -> Found:
    """Everything below the folder, sorted."""
    folder = Path(data)
    files = pictures_in(folder)
    inside = folder if folder.is_dir() else folder.parent
    classed = all(len(file.relative_to(inside).parts) == 2 for file in files)
    samples = [
        Sample(file.relative_to(inside).as_posix(), file, file.parent.name if classed else None) for file in files
    ]
    return Found(lambda: iter(samples))
