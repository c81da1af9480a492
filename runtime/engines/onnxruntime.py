"""ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime


class _OnnxRuntime:
    def __init__(self, session: Any) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        self._outputs = [output.name for output in session.get_outputs()]

    def run(self, array: npt.NDArray[Any]) -> list[npt.NDArray[np.generic]]:
        results: list[npt.NDArray[np.generic]] = self._session.run(self._outputs, {self._input: array})
        return results


def open(graph: Path, threads: int | None) -> _OnnxRuntime:
    """Load an .onnx file."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    # A thread that spins for its next picture steals the core from whoever decodes that picture.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if (threads or 2) > 1 else "0")
    try:
        session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception as why:  # its exceptions share no base class but Exception
        raise RuntimeError(str(why)) from why
    return _OnnxRuntime(session)
