"""A folder of pictures, in the order of their names, once."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from runtime.pictures import pictures_in
from runtime.stream.frames import Shot, Source


class Folder(Source):
    """Its pictures are listed when it is opened."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._pictures = pictures_in(path)

    def shots(self) -> Iterator[Shot]:
        """One for each picture; a file is opened when it is encoded."""
        for picture in self._pictures:
            yield Shot(str(picture), partial(_itself, picture))


def _itself(picture: Path, size: int) -> Path:
    return picture


def open(word: str) -> Folder:
    """The folder of that path."""
    return Folder(Path(word))
