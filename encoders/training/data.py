"""A labelled folder of photographs (one folder a class), kept in memory, and the augmentation of a small data set."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from runtime.errors import PictureError, UsageError
from runtime.preprocess import SUFFIXES, to_pixels


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


class Photographs:
    """Decoded pictures with a short side of 256/224 of the size, so that an epoch costs no decoding."""

    def __init__(self, source: Labelled, size: int) -> None:
        self.size = size
        self.labels = torch.tensor([label for _, label in source.items])
        self._pictures = [_decode(file, round(size * 256 / 224)) for file, _ in source.items]

    def __len__(self) -> int:
        return len(self._pictures)

    def epoch(self, batch: int, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Shuffled, augmented batches (uint8 N x 3 x size x size, labels); a remainder waits for the next epoch."""
        rng = random.Random(seed)
        order = list(range(len(self)))
        rng.shuffle(order)
        for start in range(0, len(order) - batch + 1, batch):
            chosen = order[start : start + batch]
            pixels = np.stack([_augment(self._pictures[i], self.size, rng) for i in chosen])
            yield torch.from_numpy(pixels).permute(0, 3, 1, 2), self.labels[chosen]

    def plain(self, batch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The evaluation transform, in order."""
        for start in range(0, len(self), batch):
            pictures = self._pictures[start : start + batch]
            pixels = np.stack([to_pixels(picture, self.size) for picture in pictures])
            yield torch.from_numpy(pixels).permute(0, 3, 1, 2), self.labels[start : start + batch]


def _decode(file: Path, short: int) -> Image.Image:
    try:
        with Image.open(file) as opened:
            image = opened.convert("RGB")
    except OSError as why:
        raise PictureError(f"{file} cannot be read ({why}); remove it from the training data") from why
    scale = short / min(image.size)
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR)


def _augment(image: Image.Image, size: int, rng: random.Random) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Random crop of 35 % to all of the area, mirror, brightness and contrast, and now and then a grey patch."""
    area = image.width * image.height * rng.uniform(0.35, 1.0)
    ratio = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
    width = min(image.width, max(1, round(float(np.sqrt(area * ratio)))))
    height = min(image.height, max(1, round(float(np.sqrt(area / ratio)))))
    left, top = rng.uniform(0, image.width - width), rng.uniform(0, image.height - height)
    crop = image.resize((size, size), Image.Resampling.BILINEAR, (left, top, left + width, top + height))
    if rng.random() < 0.5:
        crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    pixels = np.asarray(crop, dtype=np.float32)
    contrast, brightness = rng.uniform(0.7, 1.3), rng.uniform(-25, 25)
    pixels = (pixels - 128) * contrast + 128 + brightness
    if rng.random() < 0.25:
        side = rng.randrange(size // 6, size // 3)
        y, x = rng.randrange(size - side), rng.randrange(size - side)
        pixels[y : y + side, x : x + side] = 128
    return np.clip(pixels, 0, 255).astype(np.uint8)
