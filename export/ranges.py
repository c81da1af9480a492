"""Where GELU lies behind a convolution, most of that convolution's range is of no use.

GELU makes nothing of what lies below -4, but a quantiser that only sees what comes out of the convolution spends half
of its 256 steps there. The converters are told these ranges instead of what they saw.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from export.sensitivity import convolutions

#: GELU(-4) is -0.0001, far below one step of anything in 8 bits.
_LOWEST = -4.0

Range = tuple[float, float]


@torch.no_grad()
def before_gelu(network: nn.Module, inputs: Iterable[npt.NDArray[np.float32]]) -> dict[int, Range]:
    """Range of each convolution that GELU alone reads, by its place among all; averaged over pictures."""
    pictures = [torch.from_numpy(pixels) for pixels in inputs]
    nodes = torch.export.export(network, (pictures[0],)).graph.nodes
    ordered = [node for node in nodes if "conv" in str(node.target) and node.op == "call_function"]
    wanted = [i for i, node in enumerate(ordered) if all("gelu" in str(user.target) for user in node.users)]
    seen: dict[int, list[Range]] = {index: [] for index in wanted}
    layers = convolutions(network)
    hooks = [layers[index].register_forward_hook(_note(seen[index])) for index in wanted]
    for picture in pictures:
        network(picture)
    for hook in hooks:
        hook.remove()
    means = {index: tuple(map(statistics.fmean, zip(*ranges, strict=True))) for index, ranges in seen.items()}
    return {index: (max(low, _LOWEST), high) for index, (low, high) in means.items()}


def _note(seen: list[Range]) -> Callable[[nn.Module, object, torch.Tensor], None]:
    def hook(_: nn.Module, __: object, output: torch.Tensor) -> None:
        low, high = torch.aminmax(output)
        seen.append((float(low), float(high)))

    return hook
