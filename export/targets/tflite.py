"""TFLite, for LiteRT on phones and boards."""

from __future__ import annotations

import copy
import re
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import litert_torch
import numpy as np
import numpy.typing as npt
import torch
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils
from ai_edge_quantizer import calibrator, quantizer, recipe_manager
from ai_edge_quantizer import recipe as quantiser_recipes
from ai_edge_quantizer.algorithm_manager import AlgorithmName
from ai_edge_quantizer.qtyping import (
    ComputePrecision,
    OpQuantizationConfig,
    TensorDataType,
    TensorQuantizationConfig,
    TFLOperationName,
)
from torch import nn

from export.targets import Plan

_CONVOLUTIONS = (TFLOperationName.CONV_2D, TFLOperationName.DEPTHWISE_CONV_2D)


def convert(module: nn.Module, example: torch.Tensor, precision: str, directory: Path, stem: str) -> str:
    """See :class:`export.targets.Target`."""
    path = directory / f"{stem}.tflite"
    litert_torch.convert(module, (example,)).export(str(path))
    if precision == "fp16":
        _store_half(path)
    return path.name


def quantise(plan: Plan) -> str:
    """See :class:`export.targets.Target`."""
    path = plan.directory / f"{plan.stem}.tflite"
    if plan.recipe == "dynamic":
        litert_torch.convert(plan.device, (plan.example,)).export(str(path))
        made = quantizer.Quantizer(str(path), quantiser_recipes.dynamic_wi8_afp32()).quantize()
        path.write_bytes(bytes(made.quantized_model))
        return path.name
    network = litert_torch.to_channel_last_io(plan.network, args=[0]).eval()
    example = torch.from_numpy(next(plan.inputs())).permute(0, 2, 3, 1).contiguous()
    with tempfile.TemporaryDirectory() as scratch:
        real = Path(scratch) / "real.tflite"
        litert_torch.convert(network, (example,)).export(str(real))
        ends, reads, names = _inspect(real)
        recipe = recipe_manager.RecipeManager()
        recipe.add_static_config(
            regex=".*", operation_name=TFLOperationName.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8
        )
        # Only convolutions, and what moves numbers without computing, in integers. An int8 GELU is a table outside the
        # delegate: slower than real numbers, and coarser; a residual stream that is rounded at each sum costs accuracy.
        in_integers = {TFLOperationName.ALL_SUPPORTED, TFLOperationName.PAD, *_CONVOLUTIONS}
        if plan.network.takes_pixels:
            in_integers.add(TFLOperationName.INPUT)
        if plan.network.ends_in_convolution:  # its symbols' axes are moved behind the last quantiser
            in_integers |= {TFLOperationName.OUTPUT, TFLOperationName.TRANSPOSE, TFLOperationName.RESHAPE}
        computing = (operation for operation in TFLOperationName if operation not in in_integers)
        kept = [(re.escape(names[index]), kind) for index in plan.kept for kind in _CONVOLUTIONS]
        floats = [*((".*", operation) for operation in computing), *kept]
        for regex, operation in floats:
            recipe.add_quantization_config(regex, operation, algorithm_key=AlgorithmName.NO_QUANTIZE)
        made = quantizer.Quantizer(str(real), recipe.get_quantization_recipe())
        calibration = calibrator.Calibrator(str(real), num_threads=1)
        one = {ends.argument: next(plan.inputs()).transpose(0, 2, 3, 1)}
        calibration.calibrate({ends.signature: [one]}, recipe)  # all names; the numbers come from elsewhere
        ranges = calibration.get_model_qsvs()
        ranges.update({names[index]: _range(r.low, r.high) for index, r in plan.ranges.outputs.items()})
        ranges.update({reads[index]: _range(r.low, r.high) for index, r in plan.ranges.inputs.items()})
        ranges[ends.input] = _range(0, 255)
        if plan.network.ends_in_convolution:
            # The last convolution's own output, and the same after its axes were moved.
            ranges[names[-1]] = ranges[ends.output] = _range(-128, 127)
        quantised = made.quantize(ranges).quantized_model
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(quantised))
    _take_picture(model)
    _forget_names(model)
    flatbuffer_utils.write_model(model, str(path))
    return path.name


def stored_bits(graph: Path) -> int:
    """See :class:`export.targets.Target`."""
    model = flatbuffer_utils.read_model(str(graph))
    used = {tensor.buffer for tensor in model.subgraphs[0].tensors}
    return sum(8 * len(model.buffers[index].data) for index in used if model.buffers[index].data is not None)


def _range(low: float, high: float) -> dict[str, npt.NDArray[np.float32]]:
    """As the calibrator would have noted it."""
    return {"min": np.full((1, 1, 1, 1), low, np.float32), "max": np.full((1, 1, 1, 1), high, np.float32)}


class _Ends(NamedTuple):
    signature: str
    argument: str
    input: str
    output: str


def _inspect(path: Path) -> tuple[_Ends, list[str], list[str]]:
    """Names at the ends of a graph, and of what its convolutions read and put out, in their order."""
    interpreter = Interpreter(str(path))
    signature, arguments = next(iter(interpreter.get_signature_list().items()))
    first, last = interpreter.get_input_details()[0]["name"], interpreter.get_output_details()[0]["name"]
    tensors = {details["index"]: details["name"] for details in interpreter.get_tensor_details()}
    operators = interpreter._get_ops_details()
    layers = [op for op in operators if op["op_name"] in ("CONV_2D", "DEPTHWISE_CONV_2D")]
    reads, puts = ([tensors[op[end][0]] for op in layers] for end in ("inputs", "outputs"))
    return _Ends(signature, arguments["inputs"][0], first, last), reads, puts


def _take_picture(model: Any) -> None:
    """Put a uint8 picture before the int8 input: the same numbers, counted from 0 instead of from -128."""
    graph = model.subgraphs[0]
    inner = graph.inputs[0]
    picture = copy.deepcopy(graph.tensors[inner])
    picture.name, picture.type = b"picture", schema.TensorType.UINT8
    real = graph.tensors[inner].type == schema.TensorType.FLOAT32
    if real:  # a first layer in real numbers
        code, options = schema.BuiltinOperator.CAST, (schema.BuiltinOptions.CastOptions, schema.CastOptionsT())
        options[1].inDataType, options[1].outDataType = schema.TensorType.UINT8, schema.TensorType.FLOAT32
    else:
        picture.quantization.zeroPoint = [0]
        code, options = schema.BuiltinOperator.QUANTIZE, (schema.BuiltinOptions.QuantizeOptions, None)
    graph.tensors.append(picture)
    operator_code = schema.OperatorCodeT()
    operator_code.builtinCode = operator_code.deprecatedBuiltinCode = code
    operator_code.version = 1
    model.operatorCodes.append(operator_code)
    step = schema.OperatorT()
    step.opcodeIndex = len(model.operatorCodes) - 1
    step.inputs, step.outputs = [len(graph.tensors) - 1], [inner]
    if options[1] is not None:
        step.builtinOptionsType, step.builtinOptions = options
    graph.operators.insert(0, step)
    graph.inputs = [len(graph.tensors) - 1]
    for definition in model.signatureDefs:
        definition.inputs[0].tensorIndex = len(graph.tensors) - 1


def _forget_names(model: Any) -> None:
    """Inner tensors are named after where they come from, in as many bytes as a small layer's weights."""
    graph = model.subgraphs[0]
    ends = {*graph.inputs, *graph.outputs}
    for index, tensor in enumerate(graph.tensors):
        if index not in ends:
            tensor.name = f"{index}".encode()


def _store_half(path: Path) -> None:
    """Keep weights as float16; the delegate widens them when it loads the graph."""
    recipe = recipe_manager.RecipeManager()
    recipe.add_quantization_config(
        regex=".*",
        operation_name=TFLOperationName.ALL_SUPPORTED,
        op_config=OpQuantizationConfig(
            weight_tensor_config=TensorQuantizationConfig(num_bits=16, dtype=TensorDataType.FLOAT),
            compute_precision=ComputePrecision.FLOAT,
            explicit_dequantize=True,
        ),
        algorithm_key=AlgorithmName.FLOAT_CASTING,
    )
    halved = quantizer.Quantizer(str(path), recipe.get_quantization_recipe()).quantize()
    path.write_bytes(bytes(halved.quantized_model))
