"""From a picture of any kind to the pixels a graph takes: the evaluation transform of the papers, in uint8.

EXIF rotation, conversion to RGB, Resize to 256/224 of the size (short side, bilinear), CenterCrop. Normalisation is
inside the graph. An array of exactly the input size is taken as it is.
"""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
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
        with _errors_name("the picture"):
            return _resize_and_crop(_to_rgb(picture), size)
    if isinstance(picture, (str, os.PathLike)):
        with _errors_name(os.fspath(picture)), _open(Path(picture)) as image:
            return _resize_and_crop(_to_rgb(image), size)
    raise PictureError(f"a picture is a path, a PIL image or an array, not {type(picture).__name__}")


def decode(content: bytes, size: int, name: str) -> Pixels:
    """Pixels from the content of a picture file; errors call it by the name."""
    with _errors_name(name):
        if not content:
            raise PictureError("it is empty (zero bytes)")
        with Image.open(io.BytesIO(content)) as image:
            return _resize_and_crop(_to_rgb(image), size)


def _open(path: Path) -> Image.Image:
    if not path.exists():
        raise PictureError("it does not exist")
    if not path.is_file():
        raise PictureError("it is not a file")
    if path.stat().st_size == 0:
        raise PictureError("it is empty (zero bytes)")
    return Image.open(path)


@contextlib.contextmanager
def _errors_name(name: str) -> Iterator[None]:
    """Turn whatever a damaged picture makes Pillow raise into one PictureError that names the picture."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow warns of, it then raises or has read all the same
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            yield
        except PictureError as why:
            raise PictureError(f"{name}: {why}") from why
        except UnidentifiedImageError as why:
            raise PictureError(f"{name} is not a picture that Pillow can read") from why
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as why:
            raise PictureError(f"{name} has more pixels than is safe to decode; make it smaller first") from why
        except Exception as why:  # its decoders raise anything, from struct.error to KeyError
            reason = getattr(why, "strerror", None) or str(why) or type(why).__name__
            raise PictureError(f"{name} is damaged or unreadable: {reason}") from why


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
    return np.array(image.crop((left, top, left + size, top + size)))
