"""Every kind of picture becomes the pixels that the papers' evaluation transform gives."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from runtime.errors import PictureError
from runtime.preprocess import to_pixels


def noise(width: int, height: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def reopened(image: Image.Image, kind: str, **options: object) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return Image.open(buffer)


@pytest.mark.parametrize("size", [224, 256, 64, 104, 8])
@pytest.mark.parametrize(
    ("width", "height"),
    [
        (1, 1), (2, 3), (224, 224), (256, 256), (300, 300), (225, 224), (224, 225), (341, 256), (640, 427),
        (427, 641), (255, 1023), (1023, 255), (3, 200), (200, 3), (97, 89), (1, 100), (100, 1), (500, 223),
        (257, 256),
    ],
)  # fmt: skip
def test_equals_torchvision(width: int, height: int, size: int) -> None:
    """Pixel for pixel Resize(256/224 of the size) and CenterCrop, whatever the shape."""
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

    image = Image.fromarray(noise(width, height))
    resize = Resize(round(size * 256 / 224), InterpolationMode.BILINEAR, antialias=True)
    expected = np.asarray(Compose([resize, CenterCrop(size)])(image))
    np.testing.assert_array_equal(to_pixels(image, size), expected)


def test_ready_array_is_untouched() -> None:
    """An array of exactly the input size passes as it is, whatever its memory order; any other is resized."""
    ready = noise(224, 224)
    np.testing.assert_array_equal(to_pixels(ready, 224), ready)
    turned = to_pixels(ready.transpose(1, 0, 2), 224)
    assert turned.flags.c_contiguous and np.array_equal(turned, ready.transpose(1, 0, 2))
    assert not np.array_equal(to_pixels(Image.fromarray(ready), 224), ready)


@pytest.mark.parametrize("shape", [(300, 260), (224, 225), (31, 77)])
def test_path_image_and_array_agree(tmp_path: Path, shape: tuple[int, int]) -> None:
    """The three ways to hand over a picture, and a str for a path, give the same pixels."""
    array = noise(*shape)
    path = tmp_path / "picture.png"
    Image.fromarray(array).save(path)
    results = [to_pixels(given, 224) for given in (array, Image.fromarray(array), path, str(path))]
    for result in results:
        assert result.dtype == np.uint8 and result.shape == (224, 224, 3) and result.flags.c_contiguous
        np.testing.assert_array_equal(result, results[0])


def palette(image: Image.Image, **options: object) -> Image.Image:
    return reopened(image.quantize(16), "PNG", **options)


MODES = {
    "L": lambda rgb: rgb.convert("L"),
    "LA": lambda rgb: Image.merge("LA", [rgb.getchannel(0), rgb.getchannel(1)]),
    "RGBA": lambda rgb: Image.merge("RGBA", [*rgb.split(), rgb.getchannel(0)]),
    "P": palette,
    "P, one transparent colour": lambda rgb: palette(rgb, transparency=3),
    "P, transparency for each colour": lambda rgb: palette(rgb, transparency=bytes(range(0, 160, 10))),
    "1": lambda rgb: rgb.convert("1"),
    "CMYK JPEG": lambda rgb: reopened(rgb.convert("CMYK"), "JPEG", quality=95),
    "YCbCr": lambda rgb: rgb.convert("YCbCr"),
}


@pytest.mark.parametrize("mode", MODES)
def test_other_modes(mode: str) -> None:
    """Each mode gives what Pillow's conversion to RGB gives: transparency is dropped, colours are kept."""
    image = MODES[mode](Image.fromarray(noise(300, 260)))
    assert image.mode != "RGB"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = to_pixels(image.convert("RGB"), 224)
    np.testing.assert_array_equal(to_pixels(image, 224), expected)
    assert expected.std() > 10


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled(kind: str) -> None:
    """A 16-bit grey keeps its high byte; clipping at 255 would turn nearly all of it white."""
    levels = np.repeat(np.array([[0, 255, 256, 0x1234, 0x8000, 0xFFFF]], np.uint16), 256, axis=1)
    image = reopened(Image.fromarray(np.repeat(levels, 256, axis=0)), kind)
    assert image.mode.startswith("I")
    expected = Image.fromarray(np.repeat((levels >> 8).astype(np.uint8), 256, axis=0)).convert("RGB")
    np.testing.assert_array_equal(to_pixels(image, 224), to_pixels(expected, 224))
    flat = [Image.fromarray(np.full((9, 9), level, np.uint16)) for level in (255, 256, 0x8000, 0xFFFF)]
    assert [int(to_pixels(image, 8).max()) for image in flat] == [0, 1, 128, 255]


def test_deep_integers_are_clipped_to_sixteen_bits() -> None:
    """Mode I, in which older Pillows open 16-bit files, is read as 16 bits."""
    values = np.array([[-5, 0x8000, 1 << 20]], np.int32).repeat(9, axis=0)
    assert sorted({*to_pixels(Image.fromarray(values), 8).ravel()})[-1] == 255
    assert to_pixels(Image.fromarray(np.full((9, 9), 0x8000, np.int32)), 8).max() == 128


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(tmp_path: Path, orientation: int) -> None:
    """A picture stored turned or mirrored gives the pixels of the upright one, from a file as from PIL."""
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # orientation -> transposition of the upright picture
    upright = Image.fromarray(noise(300, 260))
    stored = upright.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.png"
    stored.save(path, exif=exif)
    np.testing.assert_array_equal(np.asarray(ImageOps.exif_transpose(Image.open(path))), np.asarray(upright))
    for given in (path, Image.open(path)):
        np.testing.assert_array_equal(to_pixels(given, 224), to_pixels(upright, 224))


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((224, 224, 3), np.float32),
        np.zeros((224, 224, 3), np.int64),
        np.zeros((224, 224, 3), bool),
        np.zeros((224, 224), np.uint8),
        np.zeros((1, 224, 224, 3), np.uint8),
        np.zeros((224, 224, 4), np.uint8),
        np.zeros((3, 224, 224), np.uint8),
        np.zeros((0, 224, 3), np.uint8),
        np.zeros((224, 0, 3), np.uint8),
        np.uint8(3),
        b"bytes",
        None,
        [[0]],
        7,
    ],
    ids=lambda wrong: f"{type(wrong).__name__}{getattr(wrong, 'shape', '')}{getattr(wrong, 'dtype', '')}",
)
def test_not_a_picture(wrong: object) -> None:
    """Arrays of another type or shape, and things of other types, are refused, never reinterpreted."""
    with pytest.raises(PictureError, match=r"an array must be|a picture is a path"):
        to_pixels(wrong, 224)


@pytest.mark.parametrize(
    ("image", "said"),
    [(Image.new("F", (300, 300)), "white point"), (Image.new("RGB", (1, 300)), "too narrow")],
    ids=["floating point", "narrow"],
)
def test_no_agreed_pixels(tmp_path: Path, image: Image.Image, said: str) -> None:
    """What has no square of pixels is refused; where it came from a file, the file is named."""
    path = tmp_path / "odd.tiff"
    image.save(path)
    with pytest.raises(PictureError, match=said):
        to_pixels(image, 224)
    with pytest.raises(PictureError, match=rf"odd\.tiff.*{said}"):
        to_pixels(path, 224)
