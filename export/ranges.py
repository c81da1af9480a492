"""What range of real numbers the 256 steps of each activation cover: found once, in PyTorch, for all targets.

A picture's largest values differ from the next one's by a factor of three. The widest range ever seen makes the steps
of all pictures coarse, a narrow one cuts the peaks of many. What leaves the least error in the latents of trained
encoders (``docs/performance.md``): three quarters of the pictures whole where a convolution reads, half of them where
it puts out what is then added up or bent in real numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from encoders.device import QuantisableEncoder
from export.sensitivity import convolutions, is_convolution

_READ_WHOLE, _PUT_WHOLE = 0.75, 0.5
_STEPS = 255
#: Below these an activation gives nothing: GELU(-4) is -0.0001, far below one step of anything in 8 bits.
_LOWEST = {"gelu": -4.0, "relu": 0.0}


@dataclass(frozen=True)
class Range:
    """From ``low`` to ``high`` in 255 steps, zero being one of their edges."""

    low: float
    high: float

    @classmethod
    def around(cls, low: float, high: float) -> Range:
        """The narrowest that holds both, and zero."""
        low, high = min(low, 0.0), max(high, 1e-6)
        zero = math.ceil(_STEPS * -low / (high - low) - 1e-9)
        step = max(high / (_STEPS - zero), -low / zero if zero else 0.0) if zero < _STEPS else -low / zero
        return cls(-zero * step, (_STEPS - zero) * step)

    def coarse(self, x: torch.Tensor) -> torch.Tensor:
        """Real numbers as 8 bits would leave them."""
        step = (self.high - self.low) / _STEPS
        return ((x / step).round() * step).clamp(self.low, self.high)


@dataclass(frozen=True)
class Ranges:
    """Of each convolution, by its place: what it reads and what it puts out."""

    inputs: dict[int, Range] = field(default_factory=dict)
    outputs: dict[int, Range] = field(default_factory=dict)


@torch.no_grad()
def find(network: QuantisableEncoder, inputs: Iterable[npt.NDArray[np.float32]]) -> Ranges:
    """Ranges over pictures. A first convolution that reads pixels is left out: what a pixel can be is known."""
    pictures = [torch.from_numpy(pixels) for pixels in inputs]
    layers = convolutions(network)
    read: list[list[torch.Tensor]] = [[] for _ in layers]
    put: list[list[torch.Tensor]] = [[] for _ in layers]
    hooks = [layer.register_forward_hook(_note(read[i], put[i])) for i, layer in enumerate(layers)]
    for picture in pictures:
        network(picture)
    for hook in hooks:
        hook.remove()
    lowest = _lowest(network, pictures[0])
    return Ranges(
        {i: _over(read[i], _READ_WHOLE) for i in range(int(network.takes_pixels), len(layers))},
        {i: _over(put[i], _PUT_WHOLE, lowest.get(i, -math.inf)) for i in range(len(layers))},
    )


def _note(
    read: list[torch.Tensor], put: list[torch.Tensor]
) -> Callable[[nn.Module, tuple[torch.Tensor], torch.Tensor], None]:
    def hook(_: nn.Module, received: tuple[torch.Tensor], output: torch.Tensor) -> None:
        read.append(torch.stack(torch.aminmax(received[0])))
        put.append(torch.stack(torch.aminmax(output)))

    return hook


def _over(extremes: list[torch.Tensor], whole: float, lowest: float = -math.inf) -> Range:
    lows, highs = torch.stack(extremes).double().unbind(1)
    low, high = torch.quantile(lows, 1 - whole), torch.quantile(highs, whole)
    return Range.around(max(float(low), lowest), float(high))


def _lowest(network: nn.Module, picture: torch.Tensor) -> dict[int, float]:
    """Of the convolutions that one activation alone reads, by their places: what it can tell apart begins here."""
    nodes = torch.export.export(network, (picture,)).graph.nodes
    ordered = [node for node in nodes if is_convolution(node)]
    found = {}
    for place, node in enumerate(ordered):
        readers = {str(user.target).removeprefix("aten.").split(".")[0].rstrip("_") for user in node.users}
        if len(readers) == 1 and (reader := readers.pop()) in _LOWEST:
            found[place] = _LOWEST[reader]
    return found
