"""OpenVINO on the CPU.

Left to itself it computes float32 graphs in bfloat16 or float16 where the CPU has them, so that symbols differ from
host to host; the precision hint below keeps them the same everywhere, unless a graph was exported for bfloat16.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

# At import and at each conversion OpenVINO sends an event to an analytics server, from a process that it forks. A
# missing telemetry package is a case it provides for; a device that encodes pictures should not phone home.
sys.modules.setdefault("openvino_telemetry", cast(Any, None))

import openvino as openvino  # noqa: E402

#: Where a graph says that it was exported for another precision than float32.
PRECISION = ["splitport", "precision"]


class _OpenVINO:
    def __init__(self, request: Any) -> None:
        self._request = request
        self._outputs = range(len(request.model_outputs))

    def run(self, array: npt.NDArray[Any]) -> list[npt.NDArray[np.generic]]:
        self._request.infer({0: array}, share_inputs=True, share_outputs=True)
        return [self._request.get_output_tensor(index).data for index in self._outputs]


def open(graph: Path, threads: int | None) -> _OpenVINO:
    """Load an .xml file with its .bin, or an .onnx file."""
    config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
    if threads:
        config["INFERENCE_NUM_THREADS"] = threads
    core = openvino.Core()
    model = core.read_model(str(graph))
    if model.has_rt_info(PRECISION):
        config["INFERENCE_PRECISION_HINT"] = model.get_rt_info(PRECISION).astype(str)
    return _OpenVINO(core.compile_model(model, "CPU", config).create_infer_request())
