"""OpenVINO's intermediate representation, for Intel CPUs and ARM boards."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import torch
from torch import nn

from export.sensitivity import convolutions
from export.targets import Plan
from runtime.engines.openvino import PRECISION, openvino
from runtime.errors import UsageError

opset = openvino.opset13


def convert(module: nn.Module, example: torch.Tensor, precision: str, directory: Path, stem: str) -> str:
    """See :class:`export.targets.Target`."""
    name = f"{stem}.xml"
    model = openvino.convert_model(torch.export.export(module, (example,)))
    if precision == "bf16":
        if "BF16" not in capabilities():
            raise UsageError("this CPU has no bfloat16, so that the graph could not be checked; fp32 and int8 run here")
        model.set_rt_info(precision, PRECISION)
    _save(model, list(example.shape), directory / name, half=precision == "fp16")
    return name


def capabilities() -> list[str]:
    """Number formats that this CPU computes in."""
    found: list[str] = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return found


def quantise(plan: Plan) -> str:
    """See :class:`export.targets.Target`. Residual sums stay in real numbers, which is faster here, too."""
    name = f"{plan.stem}.xml"
    example = torch.from_numpy(next(plan.inputs()))
    model = openvino.convert_model(torch.export.export(plan.network, (example,)))
    layers = _convolutions(model)
    # Only convolutions compute in integers; an Add of the converter's own naming is one's bias.
    real = [o.get_friendly_name() for o in model.get_ordered_ops()
            if o.get_type_name() in _ARITHMETIC and "aten." in o.get_friendly_name()]  # fmt: skip
    # A black and a white corner make the input's range that of a pixel; the other ranges come from the plan.
    picture = next(plan.inputs())
    picture[..., 0, 0], picture[..., 0, 1] = 0, 255
    quantised = nncf.quantize(
        model, nncf.Dataset([picture]), subset_size=1, preset=nncf.QuantizationPreset.MIXED,
        advanced_parameters=nncf.AdvancedQuantizationParameters(disable_bias_correction=True),
        ignored_scope=nncf.IgnoredScope(names=[*real, *(layers[index].get_friendly_name() for index in plan.kept)]),
    )  # fmt: skip
    layers = _convolutions(quantised)
    _set_ranges(layers, plan)
    if 0 not in plan.kept and plan.network.takes_pixels:
        _correct_first(layers[0], plan)
    size = [1, *plan.pictures[0].shape]
    _save(_with_integer_ends(quantised, plan), size, plan.directory / name, half=False)
    return name


_ARITHMETIC = ("Add", "Subtract", "Multiply", "Divide", "MaxPool", "Sqrt", "Abs", "Relu", "PRelu")


def _convolutions(model: Any) -> list[Any]:
    return [o for o in model.get_ordered_ops() if o.get_type_name() in ("Convolution", "GroupConvolution")]


def stored_bits(graph: Path) -> int:
    """See :class:`export.targets.Target`. All constants lie in the file beside the graph."""
    return 8 * graph.with_suffix(".bin").stat().st_size


def _set_ranges(layers: list[Any], plan: Plan) -> None:
    for index, r in plan.ranges.inputs.items():
        quantiser = layers[index].input_value(0).get_node()
        if quantiser.get_type_name() == "FakeQuantize":
            for place, bound in enumerate((r.low, r.high, r.low, r.high), 1):
                quantiser.input(place).replace_source_output(opset.constant(np.float32(bound)).output(0))


def _correct_first(layer: Any, plan: Plan) -> None:
    """Give the bias back what 7-bit weights lose of the pictures' brightness.

    On CPUs that add products of bytes in 16 bits, a pixel times a larger weight overflows; the quantiser therefore
    rounds the first convolution once more. Where zeros are padded around the picture this is a little off.
    """
    scale = layer.input_value(1).get_node()
    coarse = scale.input_value(0).get_node().input_value(0).get_node().data * scale.input_value(1).get_node().data
    fine = convolutions(plan.network)[0].weight.detach().numpy()
    brightness = np.stack([picture.mean(axis=(0, 1)) for picture in plan.pictures]).mean(axis=0)
    lost = np.einsum("oihw,i->o", (fine - coarse).astype(np.float64), brightness)
    (added,) = layer.output(0).get_target_inputs()
    bias = added.get_node().input_value(1).get_node().data
    corrected = opset.constant((bias + lost.reshape(bias.shape)).astype(np.float32))
    added.get_node().input(1).replace_source_output(corrected.output(0))


def _save(model: Any, shape: list[int], path: Path, half: bool) -> None:
    """Write the graph for one size of input, without the white space that is half of its description.

    The converter leaves sizes open, and the CPU plugin computes a graph whose sizes it knows faster.
    """
    model.reshape(shape)
    openvino.save_model(model, str(path), compress_to_fp16=half)
    path.write_text(re.sub(r">\s+<", "><", path.read_text(encoding="utf-8")), encoding="utf-8")


def _with_integer_ends(model: Any, plan: Plan) -> Any:
    """Bytes of a picture in; out of the last convolution's own quantiser, whose step is one, the symbols."""
    latents = [output.get_node().input_value(0) for output in model.outputs]
    if plan.integers_out:
        latent = latents[0]
        low, high = (opset.constant(np.float32(bound)) for bound in (-128, 127))
        latents = [opset.fake_quantize(latent, low, high, low, high, 256).output(0)]
    elif plan.rounds:
        latents = [opset.round(latents[0], "half_to_even").output(0)]
    if plan.network.ends_in_convolution:
        latents = [opset.convert(latents[0], "i8" if plan.integers_out else "i32").output(0)]
        latents[0].get_node().set_friendly_name("symbols")
    whole = openvino.Model([opset.result(latent) for latent in latents], model.get_parameters(), plan.stem)
    ends = openvino.preprocess.PrePostProcessor(whole)
    ends.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    ends.input().model().set_layout(openvino.Layout("NCHW"))
    return ends.build()
