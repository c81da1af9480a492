"""10,000 frames: memory stays flat, and no number is lost or doubled."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from runtime import Encoder
from runtime.preprocess import to_pixels
from tests.conftest import ROOT
from tests.stream.conftest import payloads
from tests.stream.soak import VIEWS

FRAMES = 10_000
#: Megabytes between 2,000 frames and 10,000: two or three of the allocator's own pieces. Payloads kept would be 11,
#: frames 1,200; and a number of objects that stays the same leaves nothing of Python's to grow.
BOUND = 3.0


@pytest.fixture(scope="module")
def views(photographs) -> np.ndarray:
    """Crops of two photographs, no two alike, of exactly the input's size."""
    whole = [to_pixels(path, 256) for path in photographs]
    return np.stack([whole[n % 2][n : n + 224, 2 * n : 2 * n + 224] for n in range(VIEWS)])


@pytest.mark.parametrize("kind", ["patient", "live"])
def test_soak(make_bundle, views, tmp_path, decoder, kind):
    bundle = make_bundle("ours_n0", "onnx", weights="seeded")
    np.save(tmp_path / "views.npy", views)
    limit = ["--frames", FRAMES] if kind == "live" else []
    arguments = [
        kind,
        FRAMES,
        tmp_path / "views.npy",
        bundle,
        "-o",
        tmp_path / "out",
        "--threads",
        1,
        "--stats",
        *limit,
    ]
    command = [sys.executable, "-m", "tests.stream.soak", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    *_, told, samples = map(json.loads, done.stdout.splitlines())
    made = payloads(tmp_path / "out")

    assert told["encoded"] == told["delivered"] == len(made) == FRAMES
    assert told["read"] == told["encoded"] + told["dropped"] and told["damaged"] == told["failed"] == 0
    if kind == "patient":
        assert told["dropped"] == 0 and list(made) == list(range(1, FRAMES + 1))
    else:
        assert min(made) >= 1 and max(made) <= told["read"]

    # A number that was lost or given twice would shift the views.
    encoder = Encoder.open(bundle, threads=1)
    expected = [encoder.encode(view) for view in views]
    assert len(set(expected)) == VIEWS
    for view, payload in zip(views, expected, strict=True):
        assert np.array_equal(decoder.symbols(payload), encoder.symbols(view))
    assert all(payload == expected[(number - 1) % VIEWS] for number, payload in made.items())

    rss = {sample["frames"]: sample["rss_mb"] for sample in samples}
    objects = {sample["frames"]: sample["objects"] for sample in samples}
    assert rss[FRAMES] - rss[FRAMES // 5] < BOUND, samples
    assert objects[FRAMES] - objects[FRAMES // 5] <= 10, samples
