"""ExecuTorch with the XNNPACK delegate, for Android, iOS and C++."""

from __future__ import annotations

from pathlib import Path

import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
from torch import nn


def convert(module: nn.Module, example: torch.Tensor, precision: str, directory: Path, stem: str) -> str:
    """See :class:`export.targets.Target`. The module itself computes in the precision asked for."""
    name = f"{stem}.pte"
    program = torch.export.export(module, (example,))
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    (directory / name).write_bytes(lowered.to_executorch().buffer)
    return name
