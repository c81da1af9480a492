"""Labelled photographs as batches, and the augmentation of a small data set."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from PIL import Image

from runtime.errors import PictureError
from runtime.pictures import Labelled
from runtime.preprocess import Pixels, to_pixels

Batch: TypeAlias = tuple[torch.Tensor, torch.Tensor]

#: Bytes of decoded pictures that are kept: tens of thousands of photographs, but not ImageNet.
_MOST_HELD = 6 << 30
#: Batches that threads prepare while the network trains on another.
_AHEAD = 2


class Photographs:
    """Pictures for training, decoded ahead of time where memory allows it and by threads as they are needed where not.

    What a picture looks like in an epoch depends on the seed and on nothing else: not on batches, threads or memory.
    """

    def __init__(self, source: Labelled, size: int, workers: int = 4) -> None:
        self.size, self._source, self._workers = size, source, workers
        self._short = round(size * 256 / 224)
        self.labels = torch.tensor([label for _, label in source.items])
        held = len(source.items) * 4 * self._short**2  # about 4 bytes a pixel of a picture that is not quite square
        self._pictures = [_decode(file, self._short) for file, _ in source.items] if held < _MOST_HELD else None

    def __len__(self) -> int:
        return len(self._source.items)

    def epoch(self, batch: int, seed: int) -> Iterator[Batch]:
        """Shuffled, augmented batches (uint8 N x 3 x size x size, labels); a remainder waits for the next epoch."""
        order = list(range(len(self)))
        random.Random(seed).shuffle(order)
        batches = [order[start : start + batch] for start in range(0, len(order) - batch + 1, batch)]
        return self._batches(batches, lambda i: _augment(self._load(i), self.size, random.Random(f"{seed} {i}")))

    def plain(self, batch: int) -> Iterator[Batch]:
        """The evaluation transform, in order."""
        everything = range(len(self))
        batches = [list(everything[start : start + batch]) for start in range(0, len(self), batch)]
        return self._batches(batches, lambda i: to_pixels(self._load(i), self.size))

    def _batches(self, batches: list[list[int]], make: Callable[[int], Pixels]) -> Iterator[Batch]:
        with ThreadPoolExecutor(self._workers) as pool:
            waiting: deque[tuple[list[int], list[Future[Pixels]]]] = deque()
            for chosen in [*batches, *[[]] * _AHEAD]:
                waiting.append((chosen, [pool.submit(make, i) for i in chosen]))
                if len(waiting) > _AHEAD:
                    ready, pictures = waiting.popleft()
                    pixels = np.stack([picture.result() for picture in pictures])
                    yield torch.from_numpy(pixels).permute(0, 3, 1, 2), self.labels[ready]

    def _load(self, index: int) -> Image.Image:
        return self._pictures[index] if self._pictures else _decode(self._source.items[index][0], self._short)


def _decode(file: Path, short: int) -> Image.Image:
    try:
        with Image.open(file) as opened:
            image = opened.convert("RGB")
    except OSError as why:
        raise PictureError(f"{file} cannot be read ({why}); remove it from the training data") from why
    scale = short / min(image.size)
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR)


def _augment(image: Image.Image, size: int, rng: random.Random) -> Pixels:
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
