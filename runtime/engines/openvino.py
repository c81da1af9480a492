"""OpenVINO on the CPU.

Left to itself it computes float32 graphs in bfloat16 or float16 where the CPU has them, so that symbols differ from
host to host; the precision hint below keeps them the same everywhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino


class _OpenVINO:
    def __init__(self, request: Any) -> None:
        self._request = request

    def run(self, array: npt.NDArray[Any]) -> npt.NDArray[np.generic]:
        self._request.infer({0: array}, share_inputs=True, share_outputs=True)
        result: npt.NDArray[np.generic] = self._request.get_output_tensor(0).data
        return result


def open(graph: Path, precision: str, threads: int | None) -> _OpenVINO:
    """Load an .xml file with its .bin, or an .onnx file."""
    config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
    if threads:
        config["INFERENCE_NUM_THREADS"] = threads
    model = openvino.Core().compile_model(str(graph), "CPU", config)
    return _OpenVINO(model.create_infer_request())
