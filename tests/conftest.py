"""Bundles and pictures that many tests share, made once a session."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
#: Checkpoints, symbols and byte strings made by the original implementations; not part of the project.
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def photographs() -> list[Path]:
    """Two photographs that scikit-learn carries."""
    import sklearn.datasets

    folder = Path(sklearn.datasets.__file__).parent / "images"
    return [folder / "china.jpg", folder / "flower.jpg"]


@pytest.fixture(scope="session")
def pixels(photographs: list[Path]) -> list[np.ndarray]:
    """The same, ready for a graph of 224x224."""
    from runtime.preprocess import to_pixels

    return [to_pixels(path, 224) for path in photographs]


@pytest.fixture(scope="session")
def make_bundle(tmp_path_factory: pytest.TempPathFactory):
    """Exports a model once for each combination that is asked for, with its default weights; returns the bundle."""
    from export import Request, export

    made: dict[tuple, Path] = {}

    def make(model: str = "ours_n0", target: str = "onnx", precision: str = "fp32", **more: object) -> Path:
        key = (model, target, precision, *sorted(more.items()))
        if key not in made:
            output = tmp_path_factory.mktemp("bundles") / "-".join(map(str, key[:3]))
            made[key] = export(Request(model, target, precision, output=output, **more)).path
        return made[key]

    return make
