"""Export targets, one file each, imported when asked for. This table is also what ``--list`` prints."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

import torch
from torch import nn

from runtime.errors import UnknownName, UsageError


class Target(Protocol):
    """What a target's module offers."""

    def convert(self, module: nn.Module, example: torch.Tensor, precision: str, directory: Path, stem: str) -> str:
        """Write the graph's file or files into the directory; return the name of the one that an engine loads."""
        ...


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

    def load(self) -> Target:
        """Import the converter."""
        return cast(Target, importlib.import_module(self.module))


_FLOAT = "computes and stores float32"
_HALF_STORED = "stores float16, computes float32: half the file, same speed"

TARGETS = {
    spec.name: spec
    for spec in (
        TargetSpec(
            "onnx", "export.targets.onnx", ".onnx",
            {"fp32": _FLOAT, "fp16": _HALF_STORED}, ("encoder", "receiver"), ("onnx",), {"fp32": 32, "fp16": 16},
        ),
        TargetSpec(
            "tflite", "export.targets.tflite", ".tflite",
            {"fp32": _FLOAT, "fp16": _HALF_STORED}, ("encoder",), ("litert-torch",), {"fp32": 32, "fp16": 16},
        ),
        TargetSpec(
            "openvino", "export.targets.openvino", ".xml + .bin",
            {"fp32": _FLOAT, "fp16": _HALF_STORED}, ("encoder", "receiver"), ("openvino",), {"fp32": 32, "fp16": 16},
        ),
        TargetSpec(
            "executorch", "export.targets.executorch", ".pte",
            {
                "fp32": _FLOAT,
                "fp16": "computes float16 for ARM CPUs that have it; XNNPACK stores float32, and x86 is slow",
            },
            ("encoder",), ("executorch",), {"fp32": 32, "fp16": 32}, fp16_computes_half=True,
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


def check_pair(target: TargetSpec, precision: str, side: str) -> None:
    """Refuse what a target cannot do, and say which targets can."""
    if side not in target.sides:
        able = ", ".join(t.name for t in TARGETS.values() if side in t.sides)
        raise UsageError(f"target {target.name} does not export the {side} side; these do: {able}")
    if precision not in target.precisions:
        known = sorted({p for t in TARGETS.values() for p in t.precisions})
        if precision not in known:
            raise UnknownName("precision", precision, known)
        raise UsageError(f"target {target.name} has no {precision}; it has {', '.join(target.precisions)}")
