"""ONNX, for ONNX Runtime and everything else that reads it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn

from export.targets import Plan

_PICTURE, _PIXELS, _LATENT, _SYMBOLS = "picture", "pixels", "latent", "symbols"
#: Zero of unsigned symbols.
_MIDDLE = 128


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


def quantise(plan: Plan) -> str:
    """See :class:`export.targets.Target`.

    Convolutions compute with uint8 activations and int8 weights of one scale a channel, the combination that CPUs with
    dot-product instructions run fastest; the residual sums between them stay in real numbers.
    """
    name = f"{plan.stem}.onnx"
    with tempfile.TemporaryDirectory() as scratch:
        real, prepared, quantised = (Path(scratch) / f"{step}.onnx" for step in ("real", "prepared", "quantised"))
        example = torch.from_numpy(next(plan.inputs()))
        names = [_LATENT, *(f"further{i}" for i in range(1, len(plan.device.outputs)))]
        program = torch.onnx.export(
            plan.network, (example,), dynamo=True, verbose=False, input_names=[_PIXELS], output_names=names
        )
        assert program is not None
        onnx.save(program.model_proto, real)
        quant_pre_process(str(real), str(prepared), skip_symbolic_shape=True)
        convolutions = [node for node in onnx.load(prepared).graph.node if node.op_type == "Conv"]
        pinned: dict[str, list[dict[str, Any]]] = {_PIXELS: [_scale_of_one(0)]} if plan.network.takes_pixels else {}
        for places, ends in ((plan.ranges.outputs, "output"), (plan.ranges.inputs, "input")):
            for index, r in places.items():
                tensor = getattr(convolutions[index], ends)[0]
                pinned[tensor] = [{"rmin": np.float32(r.low), "rmax": np.float32(r.high)}]
        if plan.integers_out:
            pinned[_LATENT] = [_scale_of_one(_MIDDLE)]
        quantize_static(
            str(prepared), str(quantised), _Reader(islice(plan.inputs(), 1)), quant_format=QuantFormat.QDQ,
            per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv"], nodes_to_exclude=[convolutions[index].name for index in sorted(plan.kept)],
            extra_options={"TensorQuantOverrides": pinned},
        )  # fmt: skip
        model = onnx.load(quantised)
    _take_picture(model.graph, plan)
    if plan.integers_out:
        _give_symbols(model.graph)
    elif plan.rounds:
        _round(model.graph)
    _forget_origin(model)
    onnx.checker.check_model(model)
    onnx.save(model, plan.directory / name)
    return name


def stored_bits(graph: Path) -> int:
    """See :class:`export.targets.Target`."""
    initializers = onnx.load(graph).graph.initializer
    return sum(8 * numpy_helper.to_array(tensor).nbytes for tensor in initializers)


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, inputs: Iterator[npt.NDArray[np.float32]]) -> None:
        self._inputs = inputs

    def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
        pixels = next(self._inputs, None)
        return None if pixels is None else {_PIXELS: pixels}


def _scale_of_one(zero_point: int) -> dict[str, npt.NDArray[Any]]:
    return {"scale": np.array(1, np.float32), "zero_point": np.array(zero_point, np.uint8)}


def _take_picture(graph: Any, plan: Plan) -> None:
    """A picture is already what the first quantiser would make of it: put it in its place."""
    readers = [node for node in graph.node if _PIXELS in node.input]
    quantiser = next((node for node in readers if node.op_type == "QuantizeLinear"), None)
    if quantiser is not None:
        nodes = [helper.make_node("Transpose", [_PICTURE], [quantiser.output[0]], perm=[0, 3, 1, 2])]
        graph.node.remove(quantiser)
        readers.remove(quantiser)
    else:
        nodes = [helper.make_node("Transpose", [_PICTURE], ["planes"], perm=[0, 3, 1, 2])]
    if readers:  # a first layer in real numbers
        nodes.append(helper.make_node("Cast", [nodes[0].output[0]], [_PIXELS], to=TensorProto.FLOAT))
    for position, node in enumerate(nodes):
        graph.node.insert(position, node)
    height, width = plan.pictures[0].shape[:2]
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info(_PICTURE, TensorProto.UINT8, [1, height, width, 3]))


def _round(graph: Any) -> None:
    """Symbols of a last layer in real numbers."""
    output = graph.output[0]
    graph.node.append(helper.make_node("Round", [output.name], [_SYMBOLS]))
    output.name = _SYMBOLS


def _give_symbols(graph: Any) -> None:
    """The last quantiser's integers, less the middle that unsigned ones have."""
    last = next(node for node in graph.node if node.op_type == "DequantizeLinear" and _LATENT in node.output)
    quantised = last.input[0]
    shape = [d.dim_value for d in graph.output[0].type.tensor_type.shape.dim]
    graph.node.remove(last)
    graph.initializer.append(numpy_helper.from_array(np.array(_MIDDLE, np.int32), "middle"))
    graph.node.extend([
        helper.make_node("Cast", [quantised], ["wide"], to=TensorProto.INT32),
        helper.make_node("Sub", ["wide", "middle"], ["centred"]),
        helper.make_node("Cast", ["centred"], [_SYMBOLS], to=TensorProto.INT8),
    ])  # fmt: skip
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(_SYMBOLS, TensorProto.INT8, shape))
    for stale in [info for info in graph.value_info if info.name == _LATENT]:
        graph.value_info.remove(stale)


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
