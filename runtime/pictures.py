"""Pictures on disk: a folder of them, or one folder a class."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import UsageError

#: File names that count as pictures when a folder is searched.
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"})


def pictures_in(path: Path) -> list[Path]:
    """All pictures below a folder, sorted; a single picture stands for itself."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UsageError(f"{path} is neither a picture nor a folder of pictures")
    found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not found:
        raise UsageError(f"{path} holds no pictures ({', '.join(sorted(SUFFIXES))})")
    return found


@dataclass(frozen=True)
class Labelled:
    """Files with the index of their class."""

    classes: tuple[str, ...]
    items: tuple[tuple[Path, int], ...]

    def split(self, share: float, seed: int) -> tuple[Labelled, Labelled]:
        """Hold out a share of each class, the same for the same seed: what hyper-parameters are chosen on."""
        rng = random.Random(seed)
        kept: list[tuple[Path, int]] = []
        held: list[tuple[Path, int]] = []
        for index in range(len(self.classes)):
            own = [item for item in self.items if item[1] == index]
            rng.shuffle(own)
            cut = round(share * len(own))
            held += own[:cut]
            kept += own[cut:]
        return Labelled(self.classes, tuple(kept)), Labelled(self.classes, tuple(held))

    def named_as(self, names: Sequence[str]) -> Labelled:
        """The same pictures, with classes counted as a receiver counts them.

        Folders carry the receiver's class names, all or some of them; or there are as many folders as classes, whose
        sorted order is then the classes' order, as it is for ImageNet's WordNet numbers.
        """
        if set(self.classes) <= set(names):
            index = [names.index(name) for name in self.classes]
            return Labelled(tuple(names), tuple((file, index[label]) for file, label in self.items))
        if len(self.classes) == len(names):
            return Labelled(tuple(names), self.items)
        strangers = sorted(set(self.classes) - set(names))
        raise UsageError(
            f"{len(strangers)} of {len(self.classes)} folders carry no class name of the receiver, which knows "
            f"{len(names)}: {', '.join(strangers[:4])}; the receiver's are {', '.join(names[:4])}, ..."
        )


def labelled(folder: Path) -> Labelled:
    """Read the file names; the folders' names, sorted, are the classes."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder with one folder a class")
    classes = tuple(sorted(p.name for p in folder.iterdir() if p.is_dir()))
    items = tuple(
        (file, index)
        for index, name in enumerate(classes)
        for file in sorted((folder / name).iterdir())
        if file.suffix.lower() in SUFFIXES
    )
    if len(classes) < 2 or not items:
        raise UsageError(f"{folder} needs at least two folders with pictures, one for each class")
    return Labelled(classes, items)
