"""From a picture of any kind to the pixels a graph takes: the evaluation transform of the papers, in uint8.

EXIF rotation, conversion to RGB, Resize to 256/224 of the size (short side, bilinear), CenterCrop. Normalisation is
inside the graph. An array of exactly the input size is taken as it is.

A large JPEG file is shrunk by two, four or eight while it is decoded, which is several times as fast and needs a
fraction of the memory. Its pixels are then nearly those of the transform; everything else gets them exactly.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError

from runtime.errors import PictureError

Pixels: TypeAlias = "npt.NDArray[np.uint8]"
Picture: TypeAlias = "str | os.PathLike[str] | Image.Image | Pixels"

#: The papers resize to 256 before they crop 224.
_MARGIN = 256 / 224
#: Shrinking while decoding leaves at least this many times what Resize keeps. At exactly 2 the pixels are half as far
#: off again as here; more than this wins little (docs/performance.md).
_SPARE = 9 / 4


class _Turn(NamedTuple):
    """What sets a picture upright, and which of its sides, as stored, that mirrors."""

    method: Image.Transpose
    columns: bool
    rows: bool


#: By EXIF's orientation; without one, and with 1, a picture stands as it is stored.
_TURNS: dict[int | None, _Turn] = {
    2: _Turn(Image.Transpose.FLIP_LEFT_RIGHT, True, False),
    3: _Turn(Image.Transpose.ROTATE_180, True, True),
    4: _Turn(Image.Transpose.FLIP_TOP_BOTTOM, False, True),
    5: _Turn(Image.Transpose.TRANSPOSE, False, False),
    6: _Turn(Image.Transpose.ROTATE_270, False, True),
    7: _Turn(Image.Transpose.TRANSVERSE, True, True),
    8: _Turn(Image.Transpose.ROTATE_90, True, False),
}


def to_pixels(picture: Picture, size: int) -> Pixels:
    """Pixels of shape (size, size, 3), uint8, contiguous.

    A PIL image gets the exact transform, however large; only a file may be shrunk while it is decoded.
    """
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
            return _resize_and_crop(_upright(picture), size)
    if isinstance(picture, (str, os.PathLike)):
        with _errors_name(os.fspath(picture)), _open(Path(picture)) as image:
            return _from_file(image, size)
    raise PictureError(f"a picture is a path, a PIL image or an array, not {type(picture).__name__}")


def decode(content: bytes, size: int, name: str) -> Pixels:
    """Pixels from the content of a picture file; errors call it by the name."""
    with _errors_name(name):
        if not content:
            raise PictureError("it is empty (zero bytes)")
        with Image.open(io.BytesIO(content)) as image:
            return _from_file(image, size)


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


def _from_file(image: Image.Image, size: int) -> Pixels:
    """Pixels of a file that was opened for this alone, so that it may be decoded smaller than it is."""
    need = math.ceil(_SPARE * _short_side(size))
    # Ink becomes light by a product, so a CMYK picture must be RGB before it is shrunk.
    if image.mode in ("RGB", "L") and min(image.size) >= 2 * need:
        resized = _resized(image.size, size)
        if drafted := image.draft(None, (need, need)):  # None for all but JPEG
            return _shrunk_while_decoded(image, drafted[1][2:], resized, size)
    return _resize_and_crop(_upright(image), size)


def _shrunk_while_decoded(
    image: Image.Image, shrunk: tuple[float, float], resized: tuple[int, int], size: int
) -> Pixels:
    """Resize and crop in one step, as the picture is stored; it is turned last, when there is little to turn.

    ``shrunk`` is what the picture measures now; its last pixels may be partly beyond that.
    """
    turn = _turn(image)
    mirrored = (turn.columns, turn.rows) if turn else (False, False)
    left, top = (_start(length, size, flip) for length, flip in zip(resized, mirrored, strict=True))
    across, down = (now / then for now, then in zip(shrunk, resized, strict=True))
    kept = (left * across, top * down, (left + size) * across, (top + size) * down)
    image = image.resize((size, size), Image.Resampling.BILINEAR, kept)
    return _to_array(image.transpose(turn.method) if turn else image)


def _upright(image: Image.Image) -> Image.Image:
    """The picture turned as EXIF says, in RGB or in 8-bit grey."""
    image.load()  # first: EXIF may stand behind the pixels, and some formats turn themselves
    if turn := _turn(image):
        image = image.transpose(turn.method)
    if image.mode.startswith(("I;16", "I")):
        # convert("RGB") would clip 16-bit greys at 255 instead of scaling them.
        deep = np.asarray(image).astype(np.int64).clip(0, 0xFFFF)
        return Image.fromarray((deep >> 8).astype(np.uint8))
    if image.mode == "F":
        raise PictureError("a floating-point picture has no agreed white point; convert it to 8 bits first")
    return image if image.mode in ("RGB", "L") else image.convert("RGB")


def _turn(image: Image.Image) -> _Turn | None:
    return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation))


def _resize_and_crop(image: Image.Image, size: int) -> Pixels:
    resized = _resized(image.size, size)
    if resized != image.size:
        image = image.resize(resized, Image.Resampling.BILINEAR)
    left, top = (_start(length, size) for length in resized)
    return _to_array(image.crop((left, top, left + size, top + size)))


def _short_side(size: int) -> int:
    return round(size * _MARGIN)


def _resized(shape: tuple[int, int], size: int) -> tuple[int, int]:
    """Width and height that Resize makes of a width and a height."""
    width, height = shape
    short, long = sorted(shape)
    target = _short_side(size)
    scaled = int(target * long / short)
    if scaled > 1 << 16:
        raise PictureError(f"a picture of {width}x{height} is too narrow to crop a square from")
    return (target, scaled) if width <= height else (scaled, target)


def _start(length: int, size: int, mirrored: bool = False) -> int:
    """Where CenterCrop begins on a side; an odd rest is not split evenly, so from which end it is seen matters."""
    start = round((length - size) / 2)
    return length - size - start if mirrored else start


def _to_array(image: Image.Image) -> Pixels:
    """Greys become three channels only here: three times less to resize, and the same pixels."""
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))
