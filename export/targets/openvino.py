"""OpenVINO's intermediate representation, for Intel CPUs and ARM boards."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from runtime.engines.openvino import openvino


def convert(module: nn.Module, example: torch.Tensor, precision: str, directory: Path, stem: str) -> str:
    """See :class:`export.targets.Target`."""
    name = f"{stem}.xml"
    model = openvino.convert_model(torch.export.export(module, (example,)))
    openvino.save_model(model, str(directory / name), compress_to_fp16=precision == "fp16")
    return name
