"""The runtime's manners: light, torch-free, complete in what it offers."""

from __future__ import annotations

import subprocess
import sys

import pytest

import runtime
from tests.conftest import ROOT


def _python(program: str) -> str:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout


def test_importing_the_runtime_is_quick():
    """Best of several processes: the claim is about the program, not about the machine's other work."""
    program = "import time; t = time.perf_counter(); import runtime; print(time.perf_counter() - t)"
    assert min(float(_python(program)) for _ in range(6)) < 0.2


@pytest.mark.parametrize("module", ["runtime", "runtime.commands", "runtime.launcher", "profiling.commands"])
def test_no_torch_and_no_engine_is_imported(module):
    heavy = (
        *("torch", "onnxruntime", "openvino", "ai_edge_litert", "executorch", "compressai"),
        *("matplotlib", "jinja2", "plumbum", "rich"),
    )
    loaded = _python(f"import {module}, sys; print([m for m in {heavy} if m in sys.modules])")
    assert loaded.strip() == "[]"


def test_runtime_encodes_where_torch_does_not_exist(make_bundle):
    """The device's view: torch and everything built on it raise ImportError."""
    program = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'torchvision', 'compressai', 'encoders', 'export']))\n"
        "import numpy, runtime\n"
        f"e = runtime.Encoder.open({str(make_bundle('ours_n0', 'tflite'))!r})\n"
        "p = e.encode(numpy.zeros((224, 224, 3), numpy.uint8))\n"
        "print(runtime.Decoder.open(e.bundle.path).symbols(p).shape)"
    )
    assert _python(program).strip().endswith("(64, 28, 28)")


def test_public_names_are_complete_and_sorted():
    assert runtime.__all__ == sorted(runtime.__all__)
    public = {name for name, value in vars(runtime).items() if isinstance(value, type) and not name.startswith("_")}
    assert public == set(runtime.__all__)


def test_error_tree_in_the_docstring_is_the_tree_in_the_code():
    from runtime import errors

    drawn = [line for line in errors.__doc__.splitlines() if "──" in line or line.strip().startswith("SplitportError(")]
    names = [line.strip(" │├└─").split("(")[0].split()[0] for line in drawn]
    depths = [line.index(name) // 4 for line, name in zip(drawn, names, strict=True)]
    parents: dict[str, str] = {}
    for position, (name, depth) in enumerate(zip(names, depths, strict=True)):
        above = [n for n, d in zip(names[:position], depths[:position], strict=True) if d < depth]
        parents[name] = above[-1] if above else ""
    classes = {n: v for n, v in vars(errors).items() if isinstance(v, type) and issubclass(v, errors.SplitportError)}
    assert set(names) == set(classes)
    for name, parent in parents.items():
        bases = [base.__name__ for base in classes[name].__bases__]
        assert parent in bases if parent else bases == ["Exception"], name


def test_errors_survive_the_way_between_processes():
    import pickle

    from runtime import errors

    classes = [v for v in vars(errors).values() if isinstance(v, type) and issubclass(v, errors.SplitportError)]
    for kind in classes:
        error = kind("coder", "nativ", ["native"]) if kind is errors.UnknownName else kind("what to do")
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is kind and str(again) == str(error)
