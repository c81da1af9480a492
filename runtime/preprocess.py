"""From a picture of any kind to the pixels a graph takes: the evaluation transform of the papers, in uint8.

EXIF rotation, conversion to RGB, Resize to 256/224 of the size (short side, bilinear), CenterCrop. Normalisation is
inside the graph. An array of exactly the input size is taken as it is.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from runtime.errors import PictureError

Pixels: TypeAlias = "npt.NDArray[np.uint8]"
Picture: TypeAlias = "str | os.PathLike[str] | Image.Image | Pixels"

#: The papers resize to 256 before they crop 224.
_MARGIN = 256 / 224


def to_pixels(picture: Picture, size: int) -> Pixels:
    """Pixels of shape (size, size, 3), uint8, contiguous."""
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
            raise PictureError(
                f"an array must be height x width x 3 of uint8 (RGB), not {picture.dtype}{list(picture.shape)}"
            )
        if picture.shape[:2] == (size, size):
            return np.ascontiguousarray(picture)
        return _resize_and_crop(Image.fromarray(picture), size)
    if isinstance(picture, Image.Image):
        return _resize_and_crop(_to_rgb(picture), size)
    if isinstance(picture, (str, os.PathLike)):
        return _resize_and_crop(_read(Path(picture)), size)
    raise PictureError(f"a picture is a path, a PIL image or an array, not {type(picture).__name__}")


def _read(path: Path) -> Image.Image:
    if not path.exists():
        raise PictureError(f"{path} does not exist")
    try:
        if path.stat().st_size == 0:
            raise PictureError(f"{path} is empty (zero bytes)")
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return _to_rgb(image)
    except UnidentifiedImageError as why:
        raise PictureError(f"{path} is not a picture that Pillow can read") from why
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as why:
        raise PictureError(f"{path} has more pixels than is safe to decode; make it smaller first") from why
    except (OSError, SyntaxError, ValueError) as why:
        if isinstance(why, PictureError):
            raise
        raise PictureError(f"{path} is damaged or unreadable: {why}") from why


def _to_rgb(image: Image.Image) -> Image.Image:
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I;16", "I")):
        # convert("RGB") would clip 16-bit greys at 255 instead of scaling them.
        deep = np.asarray(image).astype(np.int64).clip(0, 0xFFFF)
        image = Image.fromarray((deep >> 8).astype(np.uint8))
    elif image.mode == "F":
        raise PictureError("a floating-point picture has no agreed white point; convert it to 8 bits first")
    return image if image.mode == "RGB" else image.convert("RGB")


def _resize_and_crop(image: Image.Image, size: int) -> Pixels:
    short, long = sorted(image.size)
    target = round(size * _MARGIN)
    scaled = int(target * long / short)
    if scaled > 1 << 16:
        raise PictureError(f"a picture of {image.width}x{image.height} is too narrow to crop a square from")
    resized = (target, scaled) if image.width <= image.height else (scaled, target)
    if resized != image.size:
        image = image.resize(resized, Image.Resampling.BILINEAR)
    left, top = round((image.width - size) / 2), round((image.height - size) / 2)
    return np.ascontiguousarray(np.asarray(image.crop((left, top, left + size, top + size))))
