"""Export targets, one file each, imported when asked for. This table is also what ``--list`` prints."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from encoders.device import DeviceEncoder, QuantisableEncoder
from export.ranges import Ranges
from runtime.errors import UnknownName, UsageError


class Target(Protocol):
    """What a target's module offers."""

    def convert(self, module: nn.Module, example: torch.Tensor, precision: str, directory: Path, stem: str) -> str:
        """Write the graph's file or files into the directory; return the name of the one that an engine loads."""
        ...

    def quantise(self, plan: Plan) -> str:
        """The same with 8-bit integers: uint8 pictures in, and what comes out are the symbols."""
        ...

    def stored_bits(self, graph: Path) -> int:
        """All numbers that a quantised graph stores, each at its width."""
        ...


@dataclass(frozen=True)
class Plan:
    """An encoder on its way to 8-bit integers."""

    network: QuantisableEncoder
    """Its weights already rounded; see :mod:`export.grid`."""
    device: DeviceEncoder
    """The whole graph in real numbers, for recipes that quantise that; ``example`` is what it takes."""
    example: torch.Tensor
    pictures: Sequence[npt.NDArray[np.uint8]]
    """Real ones, (height, width, 3): they tell the ranges of activations."""
    recipe: str
    kept: frozenset[int]
    """Convolutions that stay in real numbers, counted from the picture on."""
    convolutions: int
    directory: Path
    ranges: Ranges = field(default_factory=Ranges)
    """Of all activations, for recipes that do not find them while they run."""
    stem: str = "encoder"

    def inputs(self) -> Iterator[npt.NDArray[np.float32]]:
        """Each picture as the network takes it, (1, 3, height, width)."""
        for picture in self.pictures:
            yield picture.transpose(2, 0, 1)[np.newaxis].astype(np.float32)

    @property
    def integers_out(self) -> bool:
        """Whether the last convolution's output is quantised, in steps of one: then it already is the symbols."""
        ends = self.network.ends_in_convolution
        return ends and self.recipe != "dynamic" and self.convolutions - 1 not in self.kept

    @property
    def rounds(self) -> bool:
        """Whether what the network puts out is still to be rounded."""
        return self.network.ends_in_convolution and not self.integers_out


@dataclass(frozen=True)
class TargetSpec:
    """What is known of a target without importing its converter."""

    name: str
    module: str
    file: str
    precisions: Mapping[str, str]
    """Precision -> what it means on this target."""
    sides: tuple[str, ...]
    packages: tuple[str, ...]
    stored_bits: Mapping[str, int]
    """Bits in which each precision's numbers are really stored."""
    fp16_computes_half: bool = False
    """Whether fp16 means half-precision arithmetic, not only half-precision storage."""
    device_options: Mapping[str, bool] = field(default_factory=dict)
    """How the device graph is phrased for this converter; see :class:`encoders.device.DeviceEncoder`."""
    recipes: Mapping[str, str] = field(default_factory=dict)
    """Ways to quantise -> what each means here; the first is the default."""

    def load(self) -> Target:
        """Import the converter."""
        return cast(Target, importlib.import_module(self.module))


_FLOAT = "computes and stores float32"
_HALF_STORED = "stores float16, computes float32: half the file, same speed"
_INT8 = "8-bit integers, a quarter of the file, calibrated on pictures"
_BRAIN = "computes bfloat16 where the CPU has it: faster, but symbols depend on the host"
_STATIC = "every convolution in int8, ranges from calibration; the output quantiser is the codec's"
_DYNAMIC = "int8 weights, each activation's range found while it runs; needs no calibration"
_MIXED = "as static, but the first and the last convolution in float32"

TARGETS = {
    spec.name: spec
    for spec in (
        TargetSpec(
            "onnx", "export.targets.onnx", ".onnx",
            {"fp32": _FLOAT, "fp16": _HALF_STORED, "int8": _INT8}, ("encoder", "receiver"), ("onnx", "onnxruntime"),
            {"fp32": 32, "fp16": 16}, recipes={"static": _STATIC, "mixed": _MIXED},
        ),
        TargetSpec(
            "tflite", "export.targets.tflite", ".tflite",
            {"fp32": _FLOAT, "fp16": _HALF_STORED, "int8": _INT8}, ("encoder",), ("litert-torch", "ai-edge-quantizer"),
            {"fp32": 32, "fp16": 16}, recipes={"static": _STATIC, "dynamic": _DYNAMIC, "mixed": _MIXED},
        ),
        TargetSpec(
            "openvino", "export.targets.openvino", ".xml + .bin",
            {"fp32": _FLOAT, "fp16": _HALF_STORED, "int8": _INT8, "bf16": _BRAIN}, ("encoder", "receiver"),
            ("openvino", "nncf"), {"fp32": 32, "fp16": 16, "bf16": 32}, recipes={"static": _STATIC, "mixed": _MIXED},
        ),
        TargetSpec(
            "executorch", "export.targets.executorch", ".pte",
            {
                "fp32": _FLOAT,
                "fp16": "computes float16 for ARM CPUs that have it; XNNPACK stores float32, and x86 is slow",
                "int8": _INT8,
            },
            ("encoder",), ("executorch", "torchao"), {"fp32": 32, "fp16": 32}, fp16_computes_half=True,
            recipes={"static": _STATIC, "dynamic": _DYNAMIC, "mixed": _MIXED},
            # XNNPACK takes channels-last pictures without transposing them. It has no rounding and no cast to
            # integers; ExecuTorch's own operators for those would cost a sixth of a small encoder's time.
            device_options={"channels_first": True, "rounding_by_sum": True, "integers_as_float": True},
        ),
    )
}  # fmt: skip


def spec(name: str) -> TargetSpec:
    """Look a target up by name."""
    if name not in TARGETS:
        raise UnknownName("target", name, TARGETS)
    return TARGETS[name]


def check_pair(target: TargetSpec, precision: str, side: str, recipe: str | None = None) -> None:
    """Refuse what a target cannot do, and say which targets can."""
    if side not in target.sides:
        able = ", ".join(t.name for t in TARGETS.values() if side in t.sides)
        raise UsageError(f"target {target.name} does not export the {side} side; these do: {able}")
    if precision not in target.precisions:
        known = sorted({p for t in TARGETS.values() for p in t.precisions})
        if precision not in known:
            raise UnknownName("precision", precision, known)
        raise UsageError(f"target {target.name} has no {precision}; it has {', '.join(target.precisions)}")
    if precision == "int8" and side != "encoder":
        raise UsageError("int8 is for encoders; a receiver has no board to run on, export it as fp32")
    if recipe is not None and precision != "int8":
        raise UsageError(f"--recipe says how int8 is made; {precision} has none")
    if recipe is not None and recipe not in target.recipes:
        raise UnknownName(f"recipe of {target.name}", recipe, target.recipes)
