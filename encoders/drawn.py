"""Pictures nobody has to ship: gradients, shapes and texture drawn from a seed.

They stand in where no photographs are at hand: the scale of seeded weights, the check of an exported graph, the
picture of a bundle's self-test. Smooth areas, hard edges and noise make latents move as photographs do.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

#: The picture that bundles carry to test themselves with.
SELFTEST_SEED = 7


def draw(seed: int, size: int) -> npt.NDArray[np.uint8]:
    """One picture of shape (size, size, 3)."""
    rng = np.random.default_rng(seed)
    image = Image.fromarray(_gradient(rng, size))
    pen = ImageDraw.Draw(image)
    for _ in range(14):
        x, y = rng.integers(0, size, 2).tolist()
        width, height = rng.integers(size // 12, size // 3, 2).tolist()
        colour = tuple(rng.integers(0, 256, 3).tolist())
        shape = pen.ellipse if rng.random() < 0.5 else pen.rectangle
        shape((x - width, y - height, x + width, y + height), fill=colour)
    image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 2))))
    grain = rng.normal(0, rng.uniform(2, 14), (size, size, 1))
    return np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8)


def _gradient(rng: np.random.Generator, size: int) -> npt.NDArray[np.uint8]:
    corners = Image.fromarray(rng.integers(0, 256, (3, 3, 3), dtype=np.uint8))
    return np.asarray(corners.resize((size, size), Image.Resampling.BICUBIC))
