"""From a JPEG file to the pixels of a graph: Pillow's plain path against the runtime's, stage by stage.

    python -m benchmarks.preprocess [--rounds 9] [--runs 3] [--size 224]

The plain path is what an evaluation script does: open, turn upright, convert to RGB, resize, crop. Both take turns,
each in its own process. What a stage takes is its share of the whole, found in the same process; a peak is what the
process had in memory at most. The large pictures are a photograph enlarged, with the finest detail of photographs in
their own size laid over it, saved as a camera would.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from PIL import Image, ImageFile, ImageFilter, ImageOps

from benchmarks import interleave
from runtime.preprocess import to_pixels

STAGES = ("decode", "resize", "convert")
#: Title -> width, height and how it is saved; the first is a photograph as it is.
PICTURES: dict[str, tuple[int, int, dict[str, Any]]] = {
    "640x427": (640, 427, {}),
    "1600x1200": (1600, 1200, {}),
    "3280x2464": (3280, 2464, {}),
    "4000x3000": (4000, 3000, {}),
    "4000x3000, turned": (4000, 3000, {"orientation": 6}),
    "4000x3000, progressive": (4000, 3000, {"progressive": True}),
}


def photographs() -> list[Path]:
    """Two photographs of 640x427 that scikit-learn carries."""
    import sklearn.datasets

    folder = Path(sklearn.datasets.__file__).parent / "images"
    return [folder / "china.jpg", folder / "flower.jpg"]


def enlarged(width: int, height: int) -> Image.Image:
    """A photograph at any size that is as sharp as photographs are, down to single pixels."""
    with Image.open(photographs()[0]) as opened:
        base = opened.resize((width, height), Image.Resampling.BICUBIC)
    tiles = Image.new("RGB", (width, height))
    for column, left in enumerate(range(0, width, 640)):
        for row, top in enumerate(range(0, height, 427)):
            with Image.open(photographs()[(column + row) % 2]) as tile:
                tiles.paste(tile, (left, top))
    fine = np.asarray(tiles, np.int16) - np.asarray(tiles.filter(ImageFilter.BoxBlur(5)), np.int16)
    return Image.fromarray((np.asarray(base) + fine).clip(0, 255).astype(np.uint8))


def snap(image: Image.Image, path: Path, orientation: int = 1, **options: Any) -> Path:
    """Save as a camera would: colour at half the resolution, quality 90."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(path, "JPEG", **{"exif": exif, "quality": 90, "subsampling": "4:2:0", **options})
    return path


def plain(path: Path, size: int) -> np.ndarray:
    """The transform as it is usually written."""
    with Image.open(path) as opened:
        image = ImageOps.exif_transpose(opened)
    image = image if image.mode == "RGB" else image.convert("RGB")
    target = round(size * 256 / 224)
    long = int(target * max(image.size) / min(image.size))
    image = image.resize((target, long) if image.width <= image.height else (long, target), Image.Resampling.BILINEAR)
    left, top = round((image.width - size) / 2), round((image.height - size) / 2)
    return np.array(image.crop((left, top, left + size, top + size)))


class _Stopwatch:
    """Time spent in some of Pillow's methods, each without the others that it calls."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()

    def watch(self, owner: type, method: str, stage: str) -> None:
        original = getattr(owner, method)

        def timed(*arguments: Any, **options: Any) -> Any:
            begin, others = perf_counter(), self.spent.total()
            try:
                return original(*arguments, **options)
            finally:
                self.spent[stage] += perf_counter() - begin - (self.spent.total() - others)

        setattr(owner, method, timed)


def _make(way: str, path: str, size: int) -> tuple[Callable[[], object], dict[str, Any]]:
    function = {"plain": plain, "present": to_pixels}[way]
    watch = _Stopwatch()
    watch.watch(ImageFile.ImageFile, "load", "decode")
    watch.watch(Image.Image, "resize", "resize")
    begin = perf_counter()
    for _ in range(7):
        function(Path(path), size)
    whole = perf_counter() - begin
    watch.spent["convert"] = whole - watch.spent.total()
    # Not getrusage: its peak begins with the parent's, which has held large pictures.
    peak = int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0]) / 1024
    shares = {stage: watch.spent[stage] / whole for stage in STAGES}
    return lambda: function(Path(path), size), {"shares": shares, "peak": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--pictures", nargs="+", choices=PICTURES, default=list(PICTURES), metavar="TITLE")
    args = parser.parse_args()
    print("| picture | path | decode ms | resize ms | convert ms | whole ms | times faster | peak MB | off by |")
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for title in args.pictures:
            width, height, options = PICTURES[title]
            path = photographs()[0]
            if options or (width, height) != (640, 427):
                path = snap(enlarged(width, height), Path(folder) / "picture.jpg", **options)
            _print(title, path, args)


def _print(title: str, path: Path, args: argparse.Namespace) -> None:
    arguments = {"path": str(path), "size": args.size}
    workers = {way: interleave.Worker(__file__, {"way": way, **arguments}, 1) for way in ("plain", "present")}
    off = np.abs(plain(path, args.size).astype(int) - to_pixels(path, args.size))
    differences = {"plain": "", "present": f"{off.mean():.2f}, at most {off.max()}" if off.any() else "nothing"}
    for way, (whole, ratio) in interleave.race(workers, args.rounds, args.runs).items():
        facts = workers[way].facts
        stages = " | ".join(f"{facts['shares'][stage] * whole:.2f}" for stage in STAGES)
        print(f"| {title} | {way} | {stages} | {whole:.2f} | {ratio:.2f} | {facts['peak']:.0f} | {differences[way]} |")
        workers[way].close()


if __name__ == "__main__":
    interleave.serve(_make) if interleave.is_worker() else main()
