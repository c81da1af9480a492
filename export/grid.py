"""A network that has already suffered what 8 bits will do to it, and made up for it where a constant can.

All converters round a convolution's weights to steps of a 127th of each output channel's largest, and its input to 256
steps. Both move what it puts out, on average over pictures: rounded weights multiply the brightness of pictures, and
of the many activations between -0.17 and 0 most are rounded to the same side. That average goes into the bias here,
one convolution after another, so that only what varies around it is lost.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from encoders.device import QuantisableEncoder
from export.ranges import Range, Ranges
from export.sensitivity import convolutions, rounded

_PICTURES = 16


@torch.no_grad()
def on_grid(
    network: QuantisableEncoder, inputs: Iterable[npt.NDArray[np.float32]], ranges: Ranges, kept: Collection[int]
) -> QuantisableEncoder:
    """A copy of the network with weights that converters leave as they are; the kept convolutions stay."""
    pictures = torch.from_numpy(np.concatenate(list(islice(inputs, _PICTURES))))
    moved = copy.deepcopy(network)
    layers = convolutions(moved)
    expected = _means(moved, layers, pictures)
    hooks = []
    for index, layer in enumerate(layers):
        if index in kept:
            continue
        layer.weight.data = rounded(layer.weight.data)
        if index in ranges.inputs:
            hooks.append(layer.register_forward_pre_hook(_coarsen(ranges.inputs[index])))
        hooks.append(layer.register_forward_hook(_make_up(expected[index])))
    moved(pictures)  # each convolution reads what those before it put out after they were corrected
    for hook in hooks:
        hook.remove()
    return moved


def _make_up(expected: torch.Tensor) -> Callable[[nn.Module, object, torch.Tensor], torch.Tensor]:
    """A hook that puts what a convolution loses on average into its bias, and into what it has just put out."""

    def hook(layer: nn.Module, _: object, output: torch.Tensor) -> torch.Tensor:
        assert isinstance(layer, nn.Conv2d)
        lost = expected - output.mean(dim=(0, 2, 3))
        layer.bias = nn.Parameter(lost if layer.bias is None else layer.bias.data + lost)
        return output + lost.view(-1, 1, 1)

    return hook


def _coarsen(by: Range) -> Callable[[nn.Module, tuple[torch.Tensor]], torch.Tensor]:
    return lambda _, received: by.coarse(received[0])


def _means(network: nn.Module, layers: Sequence[nn.Module], pictures: torch.Tensor) -> list[torch.Tensor]:
    """What each output channel of these layers is on average."""
    means = [torch.zeros(1) for _ in layers]

    def note(place: int) -> Callable[[nn.Module, object, torch.Tensor], None]:
        def hook(_: nn.Module, __: object, output: torch.Tensor) -> None:
            means[place] = output.mean(dim=(0, 2, 3))

        return hook

    hooks = [layer.register_forward_hook(note(place)) for place, layer in enumerate(layers)]
    network(pictures)
    for hook in hooks:
        hook.remove()
    return means
