"""Bundles at work on emulated boards and on this machine; in what they differ is told at the end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.aarch64 import board
from tests.conftest import ROOT, SHARED

_TABLE = pytest.StashKey[list[str]]()


@dataclass(frozen=True)
class Task:
    """A bundle that every board works with."""

    model: str
    target: str
    precision: str
    pictures: int = 20

    @property
    def name(self) -> str:
        return f"{self.model}-{self.target}-{self.precision}"


TASKS = (
    *(
        Task("ours_n4", target, precision)
        for target in ("tflite", "onnx", "openvino")
        for precision in ("fp32", "int8")
    ),
    Task("mshp_resnet50", "onnx", "fp32", pictures=4),
)
#: How many of them each board encodes: the second is there for what its processor lacks.
PICTURES = {"cortex-a76": 20, "cortex-a72": 6}
#: What an engine cannot do on a processor, as its own words say.
REFUSED = {("cortex-a72", "ours_n4-openvino-int8"): "object is not initialized"}


@dataclass(frozen=True)
class Work:
    """What a machine made of a bundle."""

    folder: Path
    said: str

    @property
    def report(self) -> dict:
        return json.loads((self.folder / "report.json").read_text())

    def payload(self, picture: str) -> bytes:
        return (self.folder / f"{picture}.spl").read_bytes()

    def symbols(self, picture: str) -> np.ndarray:
        return np.fromfile(self.folder / f"{picture}.i32", "<i4")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """The device's, for boards."""
    from deploy.wheels import build

    (made,) = (each for each in build(tmp_path_factory.mktemp("wheels")) if "aarch64" in each.name)
    return made


@pytest.fixture(scope="session")
def boards(wheel, tmp_path_factory) -> dict[str, Path]:
    """Processor -> its Python."""
    if not board.available():
        pytest.skip(f"{board.QEMU} is not installed")
    return board.make(tmp_path_factory.mktemp("boards"), [wheel])


@pytest.fixture(scope="session")
def work(boards, make_bundle, photographs, tmp_path_factory) -> dict[tuple[str, str], Future[Work]]:
    """(machine, task) -> its work, two at a time; this machine, called host, is the first."""
    folder = tmp_path_factory.mktemp("work")
    pool = ThreadPoolExecutor(os.cpu_count())
    made: dict[tuple[str, str], Future[Work]] = {}
    for task in TASKS:
        pictures = _pictures(photographs, folder / f"pictures-{task.pictures}", task.pictures)
        bundle = make_bundle(task.model, task.target, task.precision)
        host = _run(Path(sys.executable), bundle, pictures, folder / "none", folder / "host" / task.name)
        made["host", task.name] = pool.submit(lambda done=host: done)
        for name, python in boards.items():
            places = (python, bundle, pictures, host.folder, folder / name / task.name)
            made[name, task.name] = pool.submit(_run, *places, PICTURES[name])
    return made


def _pictures(photographs: list[Path], folder: Path, count: int) -> Path:
    """Real ones: of ImageNet where they are at hand, otherwise parts of two photographs, of several sizes."""
    if folder.exists():
        return folder
    folder.mkdir()
    if SHARED.exists():
        for picture in sorted((SHARED / "data/imagenet200").glob("*.jpg"))[:: 200 // count][:count]:
            shutil.copy(picture, folder)
        return folder
    for number in range(count):
        with Image.open(photographs[number % 2]) as photograph:
            side = 230 + 9 * number
            left, top = 11 * number, 2 * number
            crop = photograph.crop((left, top, left + side + 40, top + min(side, photograph.height - top)))
            crop.save(folder / f"{number:02}.jpg", quality=92)
    return folder


def _run(python: Path, bundle: Path, pictures: Path, theirs: Path, ours: Path, most: int = 20) -> Work:
    places = map(str, (bundle, pictures, theirs, ours))
    command = [str(python), str(ROOT / "tests/aarch64/work.py"), *places, str(most)]
    # The board has its own splitport; this machine has the checkout.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    return Work(ours, done.stdout + done.stderr)


@pytest.fixture(scope="session")
def tell(pytestconfig) -> list[str]:
    """Rows of the table at the end."""
    return pytestconfig.stash.setdefault(_TABLE, [])


def pytest_terminal_summary(terminalreporter, config) -> None:
    if rows := config.stash.get(_TABLE, []):
        terminalreporter.section("symbols that differ from this machine's")
        for row in sorted(rows):
            terminalreporter.write_line(row)
