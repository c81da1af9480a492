"""A unit of SPIC in a network of one convolution: all that is special about the family, and exported in a second."""

from __future__ import annotations

import collections
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from encoders.model import Task
from encoders.registry import ModelSpec
from encoders.systems.spic import SPICModel, assemble
from encoders.systems.spic_rows import Cut, Row

CUT = Cut(
    where="after everything", width=12, unit="Bottleneck2", head=("conv1", "bn1", "relu"), tail=(),
    windows=((8, 8, 0),), parameters=2340, normalised=24, norms=1, macs=0, padding=1, kernels=((2, 3, 1),),
)  # fmt: skip


@dataclass(frozen=True)
class TinyRow(Row):
    @property
    def name(self) -> str:
        return "tiny_unit"

    @property
    def cut(self) -> Cut:
        return CUT


__all__ = ["ROW", "SPEC", "assemble", "build", "counter", "of_unit", "write_table"]
ROW = TinyRow("cls", "S1", 0, 0.3, 2, 8)
SPEC = ModelSpec(
    name=ROW.name,
    system="a test",
    module=__name__,
    summary="a unit behind one convolution",
    latent_channels=ROW.channels,
    stride=32,
    windows=(*CUT.windows, (3, 2, 1)),
    size=64,
    codec="histogram",
    options={"row": ROW},
    parts=("backbone", "table"),
)


class Host(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, CUT.width, 8, 8)
        self.bn1 = nn.BatchNorm2d(CUT.width)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(CUT.width, 3)


def build(spec: ModelSpec, task: Task | None = None) -> SPICModel:
    return SPICModel(spec, Host(), ("a", "b", "c"))


def of_unit(model: SPICModel) -> dict[str, torch.Tensor]:
    """As published: the unit alone, without its place, and with nets that only training needs."""
    unit = {key: value.clone() for key, value in model.unit.state_dict().items()}
    return unit | {"priorEncoder.conv1.weight": torch.ones(3), "bitEstimator_z.f4.b": torch.ones(1)}


def write_table(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))
    return path


def counter(step: float, seen: dict[int, int]) -> collections.Counter:
    return collections.Counter({np.float32(step) * np.float32(k): n for k, n in seen.items()})
