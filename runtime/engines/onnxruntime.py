"""ONNX Runtime on the CPU, or on an NVIDIA GPU through its CUDA or TensorRT provider.

Where a provider cannot be had, ONNX Runtime says so on standard error and computes on the CPU. Here that is an error:
whoever asks for a GPU and gets a latency is to know whose latency it is.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from runtime.engines import gpu_wheel
from runtime.errors import EngineError

#: By our name: its own name, and what it is given with. TensorRT leaves to CUDA, and CUDA to the CPU, what it has not.
_CPU: tuple[str, dict[str, str]] = ("CPUExecutionProvider", {})
#: TF32 keeps 10 bits of a float32: symbols would differ from GPU to GPU.
_CUDA = ("CUDAExecutionProvider", {"use_tf32": "0"})
_TENSORRT: tuple[str, dict[str, str]] = ("TensorrtExecutionProvider", {})
_PROVIDERS = {"cuda": [_CUDA, _CPU], "tensorrt": [_TENSORRT, _CUDA, _CPU]}
_TITLES = {"cuda": "CUDA", "tensorrt": "TensorRT"}
_VERSION = f"onnxruntime {onnxruntime.__version__}"
_RECORD = "session.record_ep_graph_assignment_info"


class _OnnxRuntime:
    def __init__(self, session: Any) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        self._outputs = [output.name for output in session.get_outputs()]

    def run(self, array: npt.NDArray[Any]) -> list[npt.NDArray[np.generic]]:
        results: list[npt.NDArray[np.generic]] = self._session.run(self._outputs, {self._input: array})
        return results


def open(graph: Path, threads: int | None, provider: str | None = None) -> _OnnxRuntime:
    """Load an .onnx file; ``provider`` None is the CPU."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    # A thread that spins for its next picture steals the core from whoever decodes that picture.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if (threads or 2) > 1 else "0")
    wanted = _PROVIDERS[provider] if provider else [_CPU]
    if provider:
        _prepare(provider)
        options.add_session_config_entry(_RECORD, "1")
    try:
        session = onnxruntime.InferenceSession(str(graph), options, providers=wanted)
    except Exception as why:  # its exceptions share no base class but Exception
        raise RuntimeError(str(why)) from why
    # Otherwise a picture that the GPU fails on would be computed on the CPU, and so would all that follow it.
    session.disable_fallback()
    if provider:
        _check(session, provider)
    return _OnnxRuntime(session)


def _prepare(provider: str) -> None:
    """Refuse a provider that was not built in, and let the others find their libraries."""
    built, name = onnxruntime.get_available_providers(), _PROVIDERS[provider][0][0]
    if name not in built:
        had = ", ".join(each.removesuffix("ExecutionProvider") for each in built)
        raise EngineError(f"{_VERSION} was built without {_TITLES[provider]} (it has {had}): {gpu_wheel()}")
    # TensorRT has no option against TF32; this is read when the first of NVIDIA's libraries starts.
    os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")
    if hasattr(onnxruntime, "preload_dlls"):  # since 1.21: CUDA that pip installed is found without a search path
        onnxruntime.preload_dlls()


def _check(session: Any, provider: str) -> None:
    """Refuse a session that leaves the graph to the CPU, all of it or most."""
    name, title = _PROVIDERS[provider][0][0], _TITLES[provider]
    if name not in session.get_providers():
        needs = "CUDA, cuDNN and TensorRT" if provider == "tensorrt" else "CUDA and cuDNN"
        raise EngineError(
            f"{_VERSION} cannot start {title} here and would compute on the CPU: it needs NVIDIA's driver, and {needs} "
            f"of the versions that it was built with{_missing(provider)}"
        )
    if not hasattr(session, "get_provider_graph_assignment_info"):  # before 1.24 it does not tell
        return
    parts = [(part.ep_name, len(part.get_nodes())) for part in session.get_provider_graph_assignment_info()]
    nodes, there = sum(count for _, count in parts), sum(count for where, count in parts if where == name)
    if 2 * there < nodes:
        raise EngineError(
            f"{title} has no more than {there} of the {nodes} steps of this graph; {_VERSION} would compute the rest "
            "elsewhere: export it as fp32, or leave the provider out"
        )


def _missing(provider: str) -> str:
    """ONNX Runtime only prints what it misses; the loader says it again."""
    library = Path(onnxruntime.__file__).parent / "capi" / f"libonnxruntime_providers_{provider}.so"
    try:
        ctypes.CDLL(str(library))
    except OSError as why:
        return f" ({why})"
    return ""
