"""Large JPEG files are shrunk while they are decoded: nearly the pixels of the transform, and the bounds of nearly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import preprocess
from benchmarks.preprocess import enlarged
from runtime import Encoder
from runtime.errors import PictureError
from runtime.preprocess import decode, to_pixels
from tests.test_benchmarks import _rows

#: From this short side on, for a size of 224: 2 * 9/4 * 256.
LARGE = 1152
#: Shape -> what its sides are divided by while it is decoded; the first three have as little to spare as there can be.
SHAPES = {(1536, LARGE): 2, (1153, 1707): 2, (2307, 3001): 4, (3280, 2464): 4, (4000, 3000): 4}

Snap = Callable[..., Path]


@pytest.fixture(scope="module")
def snap(tmp_path_factory: pytest.TempPathFactory) -> Snap:
    """Takes a picture as a camera would, and keeps it."""
    folder, sources = tmp_path_factory.mktemp("snaps"), {}

    def take(width: int, height: int, mode: str = "RGB", orientation: int = 1, **options: object) -> Path:
        path = folder / f"{width}x{height} {mode} {orientation} {options}.jpg".replace(":", "")
        if not path.exists():
            image = sources.get((width, height)) or sources.setdefault((width, height), enlarged(width, height))
            preprocess.snap(image.convert(mode), path, orientation, **options)
        return path

    return take


def exact(path: Path, size: int = 224) -> np.ndarray:
    """The transform itself: what a PIL image gets."""
    with Image.open(path) as image:
        return to_pixels(image, size)


def decibels(one: np.ndarray, other: np.ndarray) -> float:
    error = np.square(one.astype(float) - other).mean()
    return float(10 * np.log10(255**2 / error)) if error else np.inf


def assert_near(path: Path, size: int = 224) -> None:
    """The bounds of docs/performance.md, and proof that the picture was shrunk at all."""
    wanted, given = exact(path, size), to_pixels(path, size)
    off = np.abs(wanted.astype(int) - given)
    assert 0 < off.mean() < 1 and off.max() <= 16 and decibels(wanted, given) > 45
    assert given.shape == (size, size, 3) and given.dtype == np.uint8 and given.flags.c_contiguous


@pytest.mark.parametrize("shape", SHAPES)
def test_pixels(snap: Snap, shape: tuple[int, int]) -> None:
    """Near the transform; and one step further down would be too far from it, so these bounds tell."""
    path = snap(*shape)
    assert_near(path)
    with Image.open(path) as image:
        image.draft(None, (shape[0] // SHAPES[shape] // 2, shape[1] // SHAPES[shape] // 2))
        assert decibels(exact(path), to_pixels(image, 224)) < 45


def test_a_pil_image_is_exact(snap: Snap) -> None:
    """However large: pixel for pixel torchvision's transform; and the caller's image is left as it was."""
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

    with Image.open(snap(4000, 3000)) as image:
        given = to_pixels(image, 224)
        assert image.size == (4000, 3000)
        transform = Compose([Resize(256, InterpolationMode.BILINEAR, antialias=True), CenterCrop(224)])
        np.testing.assert_array_equal(given, np.asarray(transform(image)))


@pytest.mark.parametrize("shape", [(1600, LARGE - 1), (LARGE - 1, 1600), (640, 427)])
def test_ordinary_pictures_are_exact(snap: Snap, shape: tuple[int, int]) -> None:
    """One pixel below the threshold nothing is shrunk."""
    path = snap(*shape)
    np.testing.assert_array_equal(to_pixels(path, 224), exact(path))


@pytest.mark.parametrize("size", [96, 224, 256])
def test_the_threshold_grows_with_the_size(snap: Snap, size: int) -> None:
    """What counts as large depends on what it becomes."""
    path = snap(1536, LARGE)
    if size <= 224:
        assert_near(path, size)
    else:
        np.testing.assert_array_equal(to_pixels(path, size), exact(path, size))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned(snap: Snap, orientation: int) -> None:
    """The same crop, though it is turned last: an odd rest of the long side would show a crop of another pixel."""
    shape = (1153, 1707)  # 256 x 379: the crop is a pixel nearer to one end
    assert_near(snap(*shape, orientation=orientation))
    turned = np.rot90(exact(snap(*shape, orientation=3)), 2)
    assert decibels(turned, exact(snap(*shape))) < 40, "a pixel nearer to the other end shows"


@pytest.mark.parametrize(
    ("mode", "options"),
    [("L", {"subsampling": -1}), ("RGB", {"progressive": True}), ("RGB", {"subsampling": "4:4:4"})],
    ids=["grey", "progressive", "colour in full"],
)
def test_other_files(snap: Snap, mode: str, options: dict[str, object]) -> None:
    assert_near(snap(1600, 1200, mode, **options))


def test_several_pictures_in_a_file(snap: Snap, tmp_path: Path) -> None:
    """What telephones write: a JPEG with another behind it."""
    path = tmp_path / "pair.jpg"
    with Image.open(snap(1600, 1200)) as image:
        image.save(path, "MPO", save_all=True, append_images=[image.resize((160, 120))], quality=90)
    with Image.open(path) as image:
        assert image.format == "MPO"
    assert_near(path)


def test_ink_and_other_formats_are_exact(snap: Snap, tmp_path: Path) -> None:
    """CMYK becomes RGB by a product, and only JPEG is decoded smaller than it is."""
    ink = snap(1600, 1200, "CMYK", subsampling=-1)
    np.testing.assert_array_equal(to_pixels(ink, 224), exact(ink))
    with Image.open(snap(1600, 1200)) as image:
        image.save(tmp_path / "large.png", compress_level=1)
    np.testing.assert_array_equal(to_pixels(tmp_path / "large.png", 224), exact(tmp_path / "large.png"))


def test_damaged(snap: Snap) -> None:
    """From bytes in memory it is the same; cut short it is refused."""
    whole = snap(1600, 1200).read_bytes()
    np.testing.assert_array_equal(decode(whole, 224, "bytes"), to_pixels(snap(1600, 1200), 224))
    for share in (0.3, 0.9):
        with pytest.raises(PictureError, match="cut is damaged"):
            decode(whole[: int(share * len(whole))], 224, "cut")


def test_symbols_and_bytes(snap: Snap, make_bundle: Callable[..., Path]) -> None:
    """What it does to a payload: one symbol in a thousand at most is another, and the length hardly changes."""
    encoder = Encoder.open(make_bundle("ours_n4", "onnx"), threads=1)
    for shape in SHAPES:
        path = snap(*shape)
        with Image.open(path) as image:
            wanted, reference = encoder.symbols(image), len(encoder.encode(image))
        assert 0 < np.count_nonzero(wanted != encoder.symbols(path)) < wanted.size / 1000
        assert abs(len(encoder.encode(path)) - reference) <= 0.02 * reference


def test_benchmark() -> None:
    """It runs, and tells a picture that stays exact from one that does not."""
    words = ("--rounds", "1", "--runs", "1", "--pictures", "640x427", "1600x1200")
    head, *rows = _rows("benchmarks.preprocess", *words)
    assert head[-1] == "off by" and [row[:2] for row in rows] == [
        [title, way] for title in words[-2:] for way in ("plain", "present")
    ]
    assert rows[1][-1] == "nothing" and "at most" in rows[3][-1]
    for row in rows:
        *stages, whole = map(float, row[2:6])
        assert whole > 0 and abs(sum(stages) - whole) < 0.05
