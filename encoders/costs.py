"""Multiplications that a network really does, counted while it runs."""

from __future__ import annotations

from math import prod

import torch
from torch import nn


@torch.no_grad()
def count_macs(module: nn.Module, *inputs: torch.Tensor) -> int:
    """Multiply-accumulates of convolutions (transposed ones, too), linear layers and GDN's mixing of channels.

    Normalisations, activations and products inside attention are left out. Inputs are batches of one.
    """
    from compressai.layers import GDN  # heavy, and not silent: whoever has such a layer has imported it before

    seen = 0

    def count(layer: nn.Module, given: tuple[torch.Tensor, ...], made: torch.Tensor) -> None:
        nonlocal seen
        seen += _macs(layer, given[0], made)

    counted = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, GDN)
    hooks = [layer.register_forward_hook(count) for layer in module.modules() if isinstance(layer, counted)]
    training = module.training
    try:
        module.eval()(*inputs)
    finally:
        module.train(training)
        for hook in hooks:
            hook.remove()
    return seen


def _macs(layer: nn.Module, given: torch.Tensor, made: torch.Tensor) -> int:
    if isinstance(layer, nn.ConvTranspose2d):  # every number of the input goes into a window of the output
        return given.numel() * (layer.out_channels // layer.groups) * prod(layer.kernel_size)
    if isinstance(layer, nn.Conv2d):
        return made.numel() * (layer.in_channels // layer.groups) * prod(layer.kernel_size)
    if isinstance(layer, nn.Linear):
        return made.numel() * layer.in_features
    return made.numel() * made.shape[1]
