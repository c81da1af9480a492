"""Which convolutions suffer most from 8-bit integers: the order in which they are given back their real numbers.

Judged in PyTorch, one convolution at a time, so that the answer is the same for every target.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn


def convolutions(network: nn.Module) -> list[nn.Conv2d]:
    """In the order in which a picture meets them."""
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)]


def last_ones(network: nn.Module, picture: torch.Tensor) -> set[int]:
    """Places of the convolutions that no other follows on the way to some output."""
    nodes = list(torch.export.export(network, (picture,)).graph.nodes)
    places = {node: i for i, node in enumerate(node for node in nodes if is_convolution(node))}
    found: set[int] = set()
    seen: set[Any] = set()
    ahead = [source for node in nodes if node.op == "output" for source in node.all_input_nodes]
    while ahead:
        node = ahead.pop()
        if node in seen:
            continue
        seen.add(node)
        if node in places:
            found.add(places[node])
        else:
            ahead += node.all_input_nodes
    return found


def is_convolution(node: Any) -> bool:
    """Whether a node of an exported graph is one."""
    return node.op == "call_function" and "conv" in str(node.target)


def rounded(weight: torch.Tensor) -> torch.Tensor:
    """A convolution's weights in int8, a scale for each output channel, as real numbers again."""
    scale = weight.abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-30) / 127
    return (weight / scale).round() * scale


@torch.no_grad()
def worst_first(network: nn.Module, inputs: Iterable[npt.NDArray[np.float32]]) -> list[int]:
    """Indices of convolutions by the error that quantising each one alone leaves in the latent."""
    pictures = [torch.from_numpy(pixels) for pixels in inputs]
    expected = [network(picture) for picture in pictures]
    layers = convolutions(network)
    errors = []
    for layer in layers:
        with _quantised(layer):
            actual = [network(picture) for picture in pictures]
        errors.append(sum(_error(a, e) for a, e in zip(actual, expected, strict=True)))
    return sorted(range(len(layers)), key=lambda index: -errors[index])


def _error(actual: Any, expected: Any) -> float:
    if isinstance(actual, torch.Tensor):
        actual, expected = (actual,), (expected,)
    return sum(float((a - e).square().mean()) for a, e in zip(actual, expected, strict=True))


class _quantised:  # noqa: N801  a context manager, named as its use reads
    """One convolution with int8 weights, a scale a channel, and uint8 activations of one scale."""

    def __init__(self, layer: nn.Conv2d) -> None:
        self._layer, self._weight = layer, layer.weight.data

    def __enter__(self) -> None:
        self._layer.weight.data = rounded(self._weight)
        self._hook = self._layer.register_forward_pre_hook(self._coarsen)

    def __exit__(self, *_: object) -> None:
        self._layer.weight.data = self._weight
        self._hook.remove()

    def _coarsen(self, _: nn.Module, inputs: tuple[Any, ...]) -> tuple[torch.Tensor]:
        low, high = torch.aminmax(inputs[0])
        scale = (high - low).clamp_min(1e-12) / 255
        return (((inputs[0] - low) / scale).round() * scale + low,)
