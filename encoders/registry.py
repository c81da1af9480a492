"""The model registry: one line a model, readable without torch.

A new model is one file that offers ``build(spec, task) -> SplitModel`` and one :func:`register` line, in
:mod:`encoders.catalogue` or in a package of your own.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from runtime.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from encoders.checkpoint import Side
    from encoders.model import SplitModel, Task

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


#: Kernel, stride and padding.
Window = tuple[int, int, int]


@dataclass(frozen=True)
class ModelSpec:
    """What is known of a model before it is built."""

    name: str
    system: str
    module: str
    summary: str
    latent_channels: int
    stride: int
    """Sides of pictures must be multiples of this."""
    windows: tuple[Window, ...] = ()
    """The convolutions and poolings that lead to the latent; one latent position for each ``stride`` without them."""
    split: str = "the whole encoder"
    """Where the original network was cut."""
    parameters: int | None = None
    """Learnable numbers of the encoder."""
    bits: int | None = None
    """The same in bits, with the buffers of its checkpoint, as SC2 counts them at 32 bits a number."""
    macs: int | None = None
    """Multiplications and additions of the encoder, for one picture of this size."""
    size: int = 224
    """Side of the square picture the model was trained for."""
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    codec: str = "factorized"
    task: str = "classification"
    """What its receiver does: ``classification``, ``segmentation`` or ``picture``."""
    legacy: str | None = None
    """Form in which the original sends payloads, or measures them, where that is not the bare bytes: see
    :mod:`profiling.legacy`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    weights: tuple[str, ...] = ()
    """Names of the trained weights that ship in encoders/weights, the default first."""
    tails: tuple[str, ...] = ()
    """Receivers that training can make for other classes than the paper's."""
    parts: tuple[str, ...] = ()
    """What a checkpoint does not hold and is read from files of its own: ``backbone``, ``table``."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Sides and targets that it cannot be exported to, each with the reason."""

    def check(self, *wanted: str) -> None:
        """Refuse the sides and targets that this model is not for."""
        for each in wanted:
            if each in self.refused:
                raise UsageError(f"{self.name} has no {each} export: {self.refused[each]}")

    def grid(self, size: int) -> tuple[int, int]:
        """Latent height and width for a square picture of this side."""
        if size < self.stride or size % self.stride:
            lower = max(size // self.stride, 1) * self.stride
            raise UsageError(
                f"size {size} does not fit {self.name}: it must be a multiple of {self.stride}, "
                f"for example {lower} or {lower + self.stride}"
            )
        side = size if self.windows else size // self.stride
        for kernel, stride, padding in self.windows:
            side = (side + 2 * padding - kernel) // stride + 1
        if side < 1:
            raise UsageError(f"size {size} is too small for {self.name}: nothing of it reaches the latent")
        return side, side

    def build(self, task: Task | None = None) -> SplitModel:
        """Make the PyTorch model with whatever weights its constructor leaves in it.

        Without a task it gets the paper's receiver for the paper's classes.
        """
        return cast("SplitModel", importlib.import_module(self.module).build(self, task))

    def assemble(self, files: Mapping[str, Path], side: Side) -> tuple[SplitModel, str]:
        """Make the model from a ``checkpoint`` and its ``parts``, and say in words where its weights come from.

        What no file is given for, the model finds or makes up itself. Its module offers ``assemble``, too, where it
        has parts.
        """
        made = importlib.import_module(self.module).assemble(self, files, side)
        return cast("tuple[SplitModel, str]", made)


MODELS: dict[str, ModelSpec] = {}


def register(spec: ModelSpec) -> ModelSpec:
    """Add a model. A second one of the same name is an error, never a silent replacement."""
    if spec.name in MODELS:
        raise ValueError(f"model {spec.name!r} is registered already, by {MODELS[spec.name].module}")
    MODELS[spec.name] = spec
    return spec


def spec(name: str) -> ModelSpec:
    """Look a model up by name."""
    if name not in MODELS:
        raise UnknownName("model", name, MODELS)
    return MODELS[name]
