"""Intel's SPIC: a published network with a small unit in it, cut in the middle of the unit.

The device runs the network up to the cut and the unit's two convolutions; what they put out is counted in steps that
belong to the row, never below zero. The server undoes the convolutions and goes on with the network. A published file
holds the unit alone; the network is torchvision's, and the frequencies of symbols are a file of their own. Module names
reproduce the keys of both.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn import functional
from torchvision.models.resnet import Bottleneck
from torchvision.models.segmentation import DeepLabV3_ResNet50_Weights, deeplabv3_resnet50

from encoders import checkpoint, counts
from encoders.checkpoint import Side
from encoders.model import Output, SplitModel, Task
from encoders.registry import ModelSpec
from encoders.seeded import pictures, seeded
from encoders.systems.backbones import IMAGENET
from encoders.systems.spic_rows import Cut, Row
from runtime.errors import UsageError
from runtime.payload import Grid
from runtime.tables import WIDEST, Tables

SEED = 0
#: Files in which torchvision keeps these networks once it has downloaded them, in this and in earlier years.
_CACHED = {
    "cls": ("resnet50-0676ba61.pth", "resnet50-19c8e357.pth"),
    "seg": ("deeplabv3_resnet50_coco-cd0a2569.pth",),
}
_PARTS = ("checkpoint", "backbone", "table")
_ONLY_TRAINING = ("priorEncoder.", "priorDecoder.", "bitEstimator_z.", "aux_classifier.")
_PIXELS_PER_POSITION = 8
#: Channels of the map that the branches of the segmentation network read.
_MAP = 2048
#: Spread of the quietest and of the liveliest channel of seeded weights in steps, as powers of ten.
_SPREADS = (-0.2, 0.7)
#: Side of the pictures that a network for large pictures is settled on.
_SETTLING = 129
#: What the blocks of an untrained network add to what they read.
_REFINEMENT = 0.25
#: How much a symbol that was seen counts beside one that was not, where a few pictures are all there is.
_SEEN = 64


class Unit(nn.Module):
    """Two convolutions for the device and two for the server, under the names of the published files."""

    def __init__(self, row: Row) -> None:
        super().__init__()
        width, channels, stride = row.cut.width, row.channels, row.stride
        kernel, padding = next((k, p) for s, k, p in row.cut.kernels if s == stride)
        self.conv2_2 = nn.Conv2d(width, width, 3, stride, row.cut.padding, groups=width, bias=False)
        self.bn2_1 = nn.BatchNorm2d(width)
        self.conv2_3 = nn.Conv2d(width, channels, 1, bias=False)
        self.bn3_1 = nn.BatchNorm2d(channels)
        self.conv2_4 = nn.ConvTranspose2d(channels, width, 1, bias=False)
        self.bn4_1 = nn.BatchNorm2d(width)
        self.conv2_5 = nn.ConvTranspose2d(width, width, kernel, stride, padding, groups=width, bias=False)
        self.bn5_1 = nn.BatchNorm2d(width)

    @property
    def encoder(self) -> list[nn.Module]:
        """The device's half, in the order in which it runs."""
        return [self.conv2_2, self.bn2_1, nn.ReLU(), self.conv2_3, self.bn3_1, nn.ReLU()]

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        """The server's half."""
        wide = functional.relu(self.bn4_1(self.conv2_4(latent)))
        rebuilt: torch.Tensor = functional.relu(self.bn5_1(self.conv2_5(wide)))
        return rebuilt


class SPICModel(SplitModel):
    """A published network with the unit of one row in its place."""

    def __init__(self, spec: ModelSpec, host: nn.Module, classes: tuple[str, ...]) -> None:
        super().__init__()
        self.spec, self.row, self.class_names = spec, cast(Row, spec.options["row"]), classes
        self.counts: counts.Counts | None = None
        for name, module in host.named_children():
            self.add_module(name, module)
        owner, _, name = self.cut.unit.rpartition(".")
        self.get_submodule(owner).add_module(name, Unit(self.row))
        behind = ("classifier",) if self.row.task == "seg" else ("fc",)
        self.encoder_keys = self._keys(self.cut.head, ("conv2_2", "bn2_1", "conv2_3", "bn3_1"))
        self.receiver_keys = self._keys((*self.cut.tail, *behind), ("conv2_4", "bn4_1", "conv2_5", "bn5_1"))

    @property
    def cut(self) -> Cut:
        """Where the network is cut."""
        return self.row.cut

    @property
    def unit(self) -> Unit:
        """What stands there."""
        return cast(Unit, self.get_submodule(self.cut.unit))

    @property
    def encoder(self) -> nn.Sequential:
        """See :class:`SplitModel`."""
        head = [_without_unit(self.get_submodule(path)) for path in self.cut.head]
        return nn.Sequential(*head, *self.unit.encoder)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """See :class:`SplitModel`: never below zero, in steps of the row."""
        return (Output(np.zeros(self.row.channels, np.float32), self.step),)

    @property
    def step(self) -> float:
        """The row's, as float32 has it."""
        return float(np.float32(self.row.step))

    def tables(self, grid: Grid) -> Tables:
        """See :class:`SplitModel`: one table for all channels, from what was counted."""
        if self.counts is None:
            raise UsageError(f"{self.spec.name} has no frequencies of its symbols yet: give --table, or seeded weights")
        return counts.tables(self.counts, self.row.channels, grid[0] * grid[1], self.step)

    def receive(self, latent: torch.Tensor) -> torch.Tensor:
        """See :class:`SplitModel`: logits, or a map of logits (N, 21, H, W) in the picture's size."""
        self.spec.check("receiver")
        features = self.unit.decode(latent)
        for path in self.cut.tail:
            features = self.get_submodule(path)(features)
        logits: torch.Tensor
        if self.row.task == "cls":
            logits = self.get_submodule("fc")(features.mean(dim=(2, 3)))
        else:
            logits = self.get_submodule("classifier")(features)
            size = [_PIXELS_PER_POSITION * (side - 1) + 1 for side in features.shape[2:]]
            logits = functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)
        return logits

    def side_channel(self, size: int) -> int:
        """See :class:`SplitModel`: the map before the cut, which the other branches read, in float32."""
        return 4 * _MAP * self._side(size) ** 2 if "receiver" in self.spec.refused else 0

    def _side(self, size: int) -> int:
        side = size
        for kernel, stride, padding in self.cut.windows:
            side = (side + 2 * padding - kernel) // stride + 1
        return side

    def notes(self, size: int) -> tuple[str, ...]:
        """See :class:`SplitModel`: what the payload of one branch leaves out."""
        if "receiver" not in self.spec.refused:
            return ()
        side = self._side(size)
        whole, branches = _MAP * side * side, 3 * 256 * side * side + 256
        return (
            f"  no receiver can run on this payload alone: it needs the {_MAP}x{side}x{side} map before the cut, too "
            f"({4 * whole:,} B in float32, which is what measurements count; {whole:,} B in 8 bits), or what the other "
            f"four branches make of it ({4 * branches:,} B or {branches:,} B)",
        )

    def translate(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """See :class:`SplitModel`: a published unit goes to its place, and what only training needs is left out."""
        own, unit = self.state_dict(), self.cut.unit
        used = {key: value for key, value in state.items() if not key.startswith(_ONLY_TRAINING)}
        return {f"{unit}.{key}" if f"{unit}.{key}" in own else key: value for key, value in used.items()}

    @torch.no_grad()
    def settle(self, pictures: torch.Tensor, only_unit: bool = False) -> None:
        """See :class:`SplitModel`: batch norms learn what passes them, and the unit's last one makes a few steps."""
        spread = torch.logspace(*_SPREADS, self.row.channels)
        self.unit.bn3_1.weight.copy_(self.step * spread[torch.randperm(len(spread))])
        learner = self.unit if only_unit else self
        for block in learner.modules():
            if isinstance(block, Bottleneck):  # as in trained networks; else each block doubles what a pixel changes
                block.bn3.weight.fill_(_REFINEMENT)
        norms = [module for module in learner.modules() if isinstance(module, nn.BatchNorm2d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
            norm.train()
        latent = self.step * (self.encoder(self._smaller(pictures)) / self.step).round()
        self.unit.decode(latent) if self.spec.refused else self.receive(latent)
        for norm in norms:
            norm.momentum = 0.1
            norm.eval()
        self.count(pictures)

    @torch.no_grad()
    def count(self, pictures: torch.Tensor) -> None:
        """Make do with the frequencies of symbols on these pictures."""
        symbols = (self.encoder(self._smaller(pictures)) / self.step).round().clamp(0, WIDEST // 2).long()
        seen = torch.bincount(symbols.flatten(), minlength=8)
        unseen = torch.ones(len(seen), dtype=torch.int64)  # a picture may well go twice as far
        self.counts = torch.cat([1 + _SEEN * seen, unseen]).numpy()

    def _smaller(self, pictures: torch.Tensor) -> torch.Tensor:
        """What layers put out hardly depends on the size of a picture, but the time does."""
        every = max(1, (pictures.shape[-1] - 1) // (_SETTLING - 1)) if self.row.task == "seg" else 1
        return pictures[..., ::every, ::every]

    def _keys(self, paths: tuple[str, ...], of_unit: tuple[str, ...]) -> tuple[str, ...]:
        """Keys of these modules without the unit, and of these parts of the unit."""
        unit, modules = f"{self.cut.unit}.", tuple(f"{path}." for path in paths)
        own = [key for key in self.state_dict() if key.startswith(modules) and not key.startswith(unit)]
        return (*own, *(f"{unit}{name}." for name in of_unit))


def build(spec: ModelSpec, task: Task | None = None) -> SPICModel:
    """Make the model that the registry describes; it has the published network's receiver only."""
    if spec.options["row"].task == "cls":
        return SPICModel(spec, torchvision.models.resnet50(weights=None), IMAGENET)
    classes = tuple(DeepLabV3_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1.meta["categories"])
    host = deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=len(classes))
    return SPICModel(spec, host, classes)


def assemble(spec: ModelSpec, files: Mapping[str, Path], side: Side) -> tuple[SPICModel, str]:
    """Make the model from the files of its unit, of the network around it and of the frequencies of its symbols.

    A network that torchvision has downloaded before and a table in its published place are found; what is missing is
    made up.
    """
    row, given = cast(Row, spec.options["row"]), dict(files)
    if "checkpoint" in given:
        found = {"backbone": cached(row.task), "table": table_beside(given["checkpoint"])}
        given = {name: file for name, file in found.items() if file} | given
    complete = len(given) == len(_PARTS)
    model = cast(SPICModel, spec.build().eval() if complete else seeded(spec, SEED))
    said = {"checkpoint": f"unit not trained (seed {SEED})", "backbone": f"backbone not trained (seed {SEED})"}
    said["table"] = "table counted on drawn pictures"
    if "backbone" in given:
        state = model.translate(checkpoint.read_state(given["backbone"]))
        checkpoint.fill(model, _part(model, unit=True) | state, side, given["backbone"].name)
        said["backbone"] = f"backbone {given['backbone'].name}"
    if "checkpoint" in given:
        state = model.translate(checkpoint.read_state(given["checkpoint"]))
        around = _part(model, unit=False)
        if around.keys() & state.keys():
            said["backbone"] = "backbone in the same file"
        else:
            state = around | state
        checkpoint.fill(model, state, side, given["checkpoint"].name)
        said["checkpoint"] = f"checkpoint {given['checkpoint'].name}"
    elif "backbone" in given:
        model.settle(pictures(spec), only_unit=True)
    if "table" in given:
        model.counts = counts.read(given["table"], row.step)
        said["table"] = f"table {given['table'].name}"
    else:
        model.count(pictures(spec))
    return model, ", ".join(said.values())


def cached(task: str) -> Path | None:
    """The network that torchvision has downloaded before."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    return next((folder / name for name in _CACHED[task] if (folder / name).is_file()), None)


def table_beside(unit: Path) -> Path | None:
    """The table that belongs to a unit's file, where both lie as they are published: in trees of the same form."""
    name, parts = re.sub(r"^model(\d+)\.pth\.tar$", r"freq\1.pickle", unit.name), unit.absolute().parts
    for place, part in reversed(list(enumerate(parts[:-1]))):
        if part == "weights" or part.endswith("_weights"):
            other = "freq_tab" if part == "weights" else f"{part.removesuffix('_weights')}_freq"
            table = Path(*parts[:place], other, *parts[place + 1 : -1], name)
            if name != unit.name and table.is_file():
                return table
    return None


def _part(model: SPICModel, unit: bool) -> dict[str, torch.Tensor]:
    """What is in the model already: its unit, or all around it."""
    prefix = f"{model.cut.unit}."
    return {key: value for key, value in model.state_dict().items() if key.startswith(prefix) == unit}


def _without_unit(module: nn.Module) -> nn.Module:
    """The module, of the same weights, as the published network has it: units hang on modules that do not run them."""
    if not any(isinstance(child, Unit) for child in module.children()):
        return module
    bare = copy.copy(module)
    bare._modules = {name: child for name, child in module._modules.items() if not isinstance(child, Unit)}
    return bare
