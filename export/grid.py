"""Weights on the grid of 8-bit integers before any converter sees them.

All converters round a convolution's weights to steps of a 127th of each output channel's largest. What that changes
on average, calibration pictures tell; here it goes into the bias, so that only what varies around the average is lost.
Most of it is the first layer's: pictures are far from zero on average, and each rounded weight multiplies their
brightness.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from export.sensitivity import convolutions, rounded


@torch.no_grad()
def on_grid(network: nn.Module, inputs: Iterable[npt.NDArray[np.float32]], kept: Collection[int]) -> nn.Module:
    """A copy of the network with weights that converters leave as they are; the kept convolutions stay."""
    moved = copy.deepcopy(network)
    layers = [layer for index, layer in enumerate(convolutions(moved)) if index not in kept]
    losses: list[list[torch.Tensor]] = [[] for _ in layers]
    exact = [layer.weight.data for layer in layers]

    def note(place: int) -> Callable[[nn.Module, tuple[torch.Tensor], torch.Tensor], None]:
        def hook(_: nn.Module, received: tuple[torch.Tensor], output: torch.Tensor) -> None:
            coarse = layers[place]._conv_forward(received[0], rounded(exact[place]), layers[place].bias)
            losses[place].append((output - coarse).mean(dim=(0, 2, 3)))

        return hook

    hooks = [layer.register_forward_hook(note(place)) for place, layer in enumerate(layers)]
    for pixels in inputs:
        moved(torch.from_numpy(pixels))
    for hook in hooks:
        hook.remove()
    for layer, weight, loss in zip(layers, exact, losses, strict=True):
        bias = torch.zeros(layer.out_channels) if layer.bias is None else layer.bias.data
        layer.weight.data = rounded(weight)
        layer.bias = nn.Parameter(bias + torch.stack(loss).mean(dim=0))
    return moved
