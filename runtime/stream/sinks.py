"""Where payloads go: a folder here, an HTTP receiver in ``post.py``."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Protocol

from runtime.errors import SplitportError
from runtime.files import reason, write_atomically

_NAME = re.compile(r"(\d{8,18})\.spl")


class Sink(Protocol):
    """Takes one payload at a time."""

    name: str
    first: int
    """The number that the first frame should have."""

    def put(self, number: int, payload: bytes) -> bool:
        """Deliver it; False where that failed and the next one may fare better."""
        ...

    def close(self) -> None:
        """Nothing more will come."""
        ...


class Folder:
    """One file a payload, named after the frame. Numbers go on behind the highest that is there already."""

    def __init__(self, path: Path) -> None:
        self.name, self._path = str(path), path
        self.first = _highest(path) + 1

    def put(self, number: int, payload: bytes) -> bool:
        """Whole or not at all; a SplitportError where it cannot be written, as the next one could not be either."""
        file = self._path / f"{number:08}.spl"
        if file.exists():
            raise SplitportError(f"{file} is there already: does another stream write to {self._path}?")
        write_atomically(file, payload)
        return True

    def close(self) -> None:
        """Every file is closed already."""


def _highest(path: Path) -> int:
    try:
        with os.scandir(path) as entries:
            return max((int(name[1]) for entry in entries if (name := _NAME.fullmatch(entry.name))), default=0)
    except FileNotFoundError:
        return 0
    except OSError as why:
        raise SplitportError(f"cannot write to {path}: {reason(why)}; choose another place with -o") from why
