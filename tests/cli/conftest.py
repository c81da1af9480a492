"""Ways to run a command line and to see what it leaves behind."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@dataclass(frozen=True)
class Outcome:
    """What a shell would see."""

    code: int
    out: str
    err: str


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Runs a program's ``main`` in this process, which saves the seconds that importing torch takes."""

    def run(program: str, *arguments: object) -> Outcome:
        if program == "export":
            from export.commands import main
        else:
            from runtime.commands import main
        capfd.readouterr()
        try:
            code = main([str(a) for a in arguments])
        except SystemExit as stop:
            code = stop.code
        return Outcome(code, *capfd.readouterr())

    return run


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A small picture that is fine."""
    path = tmp_path / "fine.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (240, 300, 3), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def listing(tmp_path: Path) -> Callable[[], dict[str, str]]:
    """Everything below the test's directory with its digest, hidden files too."""

    def look() -> dict[str, str]:
        found = {}
        for path in sorted(tmp_path.rglob("*")):
            content = path.read_bytes() if path.is_file() else b"directory"
            found[str(path.relative_to(tmp_path))] = hashlib.sha256(content).hexdigest()
        return found

    return look
