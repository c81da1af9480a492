"""Inference engines, one file each, imported when asked for.

An engine loads the graph of a bundle and maps one array to a few. Which engines can run which targets is the
table below; the first engine that lists a target is its default.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from runtime.errors import EngineError, UnknownName, UsageError
from runtime.quiet import quiet

Outputs = list[npt.NDArray[np.generic]]


class Engine(Protocol):
    """A loaded graph. Not for use by several threads at once."""

    def run(self, array: npt.NDArray[Any]) -> Outputs:
        """The graph's outputs for its one input. They may be overwritten by the next call."""
        ...


@dataclass(frozen=True)
class EngineSpec:
    """What is known of an engine without importing it."""

    name: str
    module: str
    targets: tuple[str, ...]
    packages: tuple[str, ...]
    """Distributions that can provide it, preferred first."""
    extra: str
    note: str = ""
    also: tuple[str, ...] = ()
    """Distributions that it cannot run without, although it does not ask for them."""

    @property
    def install(self) -> str:
        """The command that installs it."""
        return f"pip install 'splitport[{self.extra}]'"

    @property
    def version(self) -> str | None:
        """Installed version, with the distribution's name; None where it is missing."""
        from importlib.metadata import PackageNotFoundError, version  # costs a third of the runtime's own import

        for package in self.packages:
            try:
                needs = "".join(f" with {other} {version(other)}" for other in self.also)
                return f"{package} {version(package)}{needs}"
            except PackageNotFoundError:
                continue
        return None


ENGINES = {
    spec.name: spec
    for spec in (
        EngineSpec("onnxruntime", "runtime.engines.onnxruntime", ("onnx",), ("onnxruntime", "onnxruntime-gpu"), "onnx"),
        EngineSpec("litert", "runtime.engines.litert", ("tflite",), ("ai-edge-litert", "tflite-runtime"), "litert"),
        EngineSpec("openvino", "runtime.engines.openvino", ("openvino", "onnx"), ("openvino",), "openvino"),
        EngineSpec(
            "executorch",
            "runtime.engines.executorch",
            ("executorch",),
            ("executorch",),
            "executorch",
            note="its Python module needs torch; on a phone or in C++ it does not",
            also=("torch",),
        ),
    )
}


def spec(name: str) -> EngineSpec:
    """Look an engine up by name."""
    if name not in ENGINES:
        raise UnknownName("engine", name, ENGINES)
    return ENGINES[name]


def default_for(target: str) -> EngineSpec:
    """The engine that runs a target unless another is asked for."""
    for engine in ENGINES.values():
        if target in engine.targets:
            return engine
    raise UnknownName("target", target, {t for e in ENGINES.values() for t in e.targets})


def open_engine(name: str | None, target: str, graph: Path, threads: int | None) -> Engine:
    """Load a graph; ``threads`` None leaves the engine's own choice."""
    engine = spec(name) if name else default_for(target)
    if target not in engine.targets:
        able = ", ".join(e.name for e in ENGINES.values() if target in e.targets)
        raise EngineError(f"engine {engine.name} cannot run {target} bundles; these can: {able}")
    if threads is not None and threads < 1:
        raise UsageError(f"threads must be at least 1, not {threads}")
    try:
        with quiet():
            opened: Engine = importlib.import_module(engine.module).open(graph, threads)
    except ImportError as why:
        needs = f" ({engine.note})" if engine.note else ""
        raise EngineError(f"engine {engine.name} is not installed{needs}: {engine.install} ({why})") from why
    except (RuntimeError, ValueError) as why:
        if isinstance(why, EngineError):
            raise
        raise EngineError(f"engine {engine.name} cannot load {graph.name}: {str(why).splitlines()[0]}") from why
    return opened


def run(engine: Engine, array: npt.NDArray[Any]) -> Outputs:
    """Run a loaded graph; whatever an engine raises becomes one EngineError."""
    try:
        return engine.run(array)
    except Exception as why:  # each engine has exceptions of its own, without a common base
        first = (str(why).strip().splitlines() or [type(why).__name__])[0]
        raise EngineError(f"the graph cannot be run: {first}; python -m runtime selftest BUNDLE tells more") from why
