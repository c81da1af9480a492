"""ONNX, for ONNX Runtime and everything else that reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn


def convert(module: nn.Module, example: torch.Tensor, precision: str, directory: Path, stem: str) -> str:
    """See :class:`export.targets.Target`."""
    name = f"{stem}.onnx"
    program = torch.onnx.export(module, (example,), dynamo=True, verbose=False)
    assert program is not None
    model = program.model_proto
    if precision == "fp16":
        _store_half(model.graph)
    _forget_origin(model)
    onnx.checker.check_model(model)
    onnx.save(model, directory / name)
    return name


def _store_half(graph: Any) -> None:
    """Keep weights as float16 behind a cast, which runtimes fold away when they load the graph."""
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < 16:
            continue
        stored = f"{tensor.name}_half"
        casts.append(helper.make_node("Cast", [stored], [tensor.name], to=TensorProto.FLOAT))
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), stored))
    for node in reversed(casts):
        graph.node.insert(0, node)


def _forget_origin(model: Any) -> None:
    """Drop the stack traces that the exporter attaches: they hold paths of the exporting machine."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for group in (model.graph.input, model.graph.output, model.graph.value_info, model.graph.initializer):
        for item in group:
            del item.metadata_props[:]
    del model.graph.metadata_props[:], model.metadata_props[:]
