"""LiteRT (TensorFlow Lite) on the CPU, through whichever of its two distributions is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

try:
    from ai_edge_litert.interpreter import Interpreter
except ImportError:  # boards that still carry the older package
    from tflite_runtime.interpreter import Interpreter


class _LiteRT:
    def __init__(self, interpreter: Any) -> None:
        self._interpreter = interpreter
        self._input = interpreter.get_input_details()[0]["index"]
        self._outputs = [details["index"] for details in interpreter.get_output_details()]

    def run(self, array: npt.NDArray[Any]) -> list[npt.NDArray[np.generic]]:
        self._interpreter.set_tensor(self._input, array)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]


def open(graph: Path, threads: int | None) -> _LiteRT:
    """Load a .tflite file; the XNNPACK delegate is on by default."""
    interpreter = Interpreter(str(graph), num_threads=threads)
    interpreter.allocate_tensors()
    return _LiteRT(interpreter)
