"""Broken pictures: each gives one PictureError of one line that names the file, never anything else."""

from __future__ import annotations

import os
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runtime.errors import PictureError
from runtime.preprocess import to_pixels


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """One small picture in several formats, with EXIF where the format has it."""
    folder = tmp_path_factory.mktemp("intact")
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    for suffix in ("jpg", "png", "webp"):
        image.save(folder / f"a.{suffix}", exif=exif)
    for suffix in ("gif", "tiff", "bmp"):
        image.save(folder / f"a.{suffix}")
    return {path.suffix: path.read_bytes() for path in folder.iterdir()}


def refused(path: Path) -> str:
    """The message of the error that this picture must give."""
    with pytest.raises(PictureError) as caught:
        to_pixels(path, 224)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


def png(width: int, height: int) -> bytes:
    """A PNG that announces a size and then holds next to nothing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    file = b"\x89PNG\r\n\x1a\n"
    for content in (b"IHDR" + header, b"IDAT" + zlib.compress(bytes(9)), b"IEND"):
        file += struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    return file


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "zero bytes"),
        (b"not a picture at all\n", "not a picture"),
        (png(60_000, 60_000), "more pixels than is safe"),
        (png(12_000, 9_000), "more pixels than is safe"),  # Pillow only warns of this one
        (png(30, 30), "damaged"),
        (png(30, 30)[:33], "not a picture"),
    ],
    ids=["empty", "text", "bomb", "smaller bomb", "too few rows", "header only"],
)
def test_content(tmp_path: Path, content: bytes, said: str) -> None:
    """What is in the file is told apart: nothing, something else, too much, too little."""
    path = tmp_path / "picture.jpg"
    path.write_bytes(content)
    assert said in refused(path)


def test_pillow_raises_something_else(tmp_path: Path) -> None:
    """Not all that Pillow raises is an OSError: for an odd DDS it is NotImplementedError, for AVIF RuntimeError."""
    path = tmp_path / "odd.dds"
    Image.new("RGB", (8, 8)).save(path)
    data = bytearray(path.read_bytes())
    data[80] = 0x81  # flags of the pixel format
    path.write_bytes(data)
    with pytest.raises(NotImplementedError), Image.open(path):
        pass
    assert "damaged or unreadable" in refused(path)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_truncated(tmp_path: Path, intact: dict[str, bytes], suffix: str) -> None:
    """A download cut short is refused, not padded with grey; whole it is fine."""
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(intact[suffix])
    assert to_pixels(path, 224).shape == (224, 224, 3)
    for share in (0.3, 0.6, 0.9):
        path.write_bytes(intact[suffix][: int(share * len(intact[suffix]))])
        refused(path)


def test_truncated_pil_image(tmp_path: Path, intact: dict[str, bytes]) -> None:
    """PIL decodes late: an image that it could open is refused when its pixels prove missing."""
    path = tmp_path / "cut.jpg"
    path.write_bytes(intact[".jpg"][:-300])
    with Image.open(path) as image, pytest.raises(PictureError, match="the picture is damaged"):
        to_pixels(image, 224)


def test_not_a_file(tmp_path: Path) -> None:
    """Missing, a directory, a pipe (which would block), a name that no file system takes."""
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    assert "does not exist" in refused(tmp_path / "absent.png")
    assert "not a file" in refused(tmp_path)
    assert "not a file" in refused(pipe)
    assert "too long" in refused(tmp_path / ("a" * 5000))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".gif", ".tiff", ".bmp"])
def test_damaged_anywhere(tmp_path: Path, intact: dict[str, bytes], suffix: str) -> None:
    """Random damage gives pixels or a PictureError; Pillow's own exceptions and warnings stay inside."""
    dice, path = random.Random(suffix), tmp_path / f"damaged{suffix}"
    for _ in range(150):
        data = bytearray(intact[suffix])
        for _ in range(dice.randint(1, 6)):
            data[dice.randrange(min(len(data), 400))] = dice.randrange(256)
        path.write_bytes(data)
        try:
            assert to_pixels(path, 32).shape == (32, 32, 3)
        except PictureError as why:
            assert "damaged" + suffix in str(why)
