"""Inference engines, one file each, imported when asked for.

An engine loads the graph of a bundle and maps one array to a few. Which engines can run which targets is the
table below; the first engine that lists a target is its default. ``NAME:PROVIDER`` asks an engine to compute
elsewhere than on the CPU.
"""

from __future__ import annotations

import importlib
import platform
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
    providers: tuple[str, ...] = ()
    """What it can be asked to compute on, its default first; empty where there is no choice."""

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
        EngineSpec(
            "onnxruntime",
            "runtime.engines.onnxruntime",
            ("onnx",),
            ("onnxruntime", "onnxruntime-gpu"),
            "onnx",
            providers=("cpu", "cuda", "tensorrt"),
        ),
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
    """Look an engine up by name, whatever provider the name asks for."""
    return parse(name)[0]


def parse(name: str) -> tuple[EngineSpec, str | None]:
    """Take ``NAME`` or ``NAME:PROVIDER`` apart; None for the provider that the engine has by default."""
    bare, colon, provider = name.partition(":")
    if bare not in ENGINES:
        raise UnknownName("engine", bare, ENGINES)
    engine = ENGINES[bare]
    if not colon:
        return engine, None
    if not engine.providers:
        raise UsageError(f"engine {bare} has no providers to choose from; write --engine {bare}")
    if provider not in engine.providers:
        raise UnknownName(f"provider of {bare}", provider, engine.providers)
    return engine, provider if provider != engine.providers[0] else None


def gpu_wheel() -> str:
    """How to get ONNX Runtime with NVIDIA's providers in it."""
    remove = "pip uninstall onnxruntime, which writes the same files, then "
    if platform.machine() in ("x86_64", "AMD64"):
        return f"{remove}pip install onnxruntime-gpu"
    return (
        f"PyPI has one for x86-64 only. On a Jetson with JetPack 6: {remove}install onnxruntime-gpu from the Jetson AI "
        "Lab's package index for JetPack 6; for other systems see docs/jetson.md"
    )


def label(name: str | None, target: str) -> str:
    """What a record says of the engine that runs a target: version, and the provider where it is not the CPU."""
    engine, provider = parse(name) if name else (default_for(target), None)
    said = engine.version or engine.name
    return f"{said}, {provider}" if provider else said


def default_for(target: str) -> EngineSpec:
    """The engine that runs a target unless another is asked for."""
    for engine in ENGINES.values():
        if target in engine.targets:
            return engine
    raise UnknownName("target", target, {t for e in ENGINES.values() for t in e.targets})


def open_engine(name: str | None, target: str, graph: Path, threads: int | None) -> Engine:
    """Load a graph; ``threads`` None leaves the engine's own choice."""
    engine, provider = parse(name) if name else (default_for(target), None)
    if target not in engine.targets:
        able = ", ".join(e.name for e in ENGINES.values() if target in e.targets)
        raise EngineError(f"engine {engine.name} cannot run {target} bundles; these can: {able}")
    if threads is not None and threads < 1:
        raise UsageError(f"threads must be at least 1, not {threads}")
    try:
        with quiet():
            module, elsewhere = importlib.import_module(engine.module), {"provider": provider} if provider else {}
            opened: Engine = module.open(graph, threads, **elsewhere)
    except ImportError as why:
        needs = f" ({engine.note})" if engine.note else ""
        install = gpu_wheel() if provider else engine.install
        raise EngineError(f"engine {engine.name} is not installed{needs}: {install} ({why})") from why
    except (RuntimeError, ValueError) as why:
        if isinstance(why, EngineError):
            raise
        raise EngineError(f"engine {engine.name} cannot load {graph.name}: {_gist(why)}") from why
    return opened


def run(engine: Engine, array: npt.NDArray[Any]) -> Outputs:
    """Run a loaded graph; whatever an engine raises becomes one EngineError."""
    try:
        return engine.run(array)
    except Exception as why:  # each engine has exceptions of its own, without a common base
        raise EngineError(
            f"the graph cannot be run: {_gist(why)}; python -m runtime selftest BUNDLE tells more"
        ) from why


def _gist(why: Exception) -> str:
    """The line that says it; OpenVINO names places in its own sources first."""
    lines = [line.strip() for line in str(why).splitlines() if line.strip()] or [type(why).__name__]
    return next((line for line in lines if not line.startswith("Exception from ")), lines[0])
