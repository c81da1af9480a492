"""Networks in operators that every converter knows: constants instead of what could be computed once."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def plain(module: nn.Module) -> nn.Module:
    """A copy that computes the same (in evaluation mode), with constants where the original computes them each time."""
    made = copy.deepcopy(module).eval()
    for parent in list(made.modules()):
        _replace_gdn(parent)
        _fold_batch_norms(parent)
    return made


class PlainNorm(nn.Module):
    """A batch norm that could not be folded: a factor and a term for each channel, computed once."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        assert norm.running_mean is not None and norm.running_var is not None
        factor = norm.weight.detach() / torch.sqrt(norm.running_var + norm.eps)
        self.factor: torch.Tensor
        self.term: torch.Tensor
        self.register_buffer("factor", factor.view(1, -1, 1, 1))
        self.register_buffer("term", (norm.bias.detach() - norm.running_mean * factor).view(1, -1, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keep the shape."""
        return x * self.factor + self.term


class PlainGDN(nn.Module):
    """Generalised divisive normalisation whose positive weights are constants.

    The channels' magnitudes (GDN1) or squares (GDN) are mixed by a 1x1 convolution; what it gives divides the input, or
    multiplies it in the inverse.
    """

    def __init__(self, gdn: Any, squares: bool) -> None:
        super().__init__()
        with torch.no_grad():
            beta, gamma = gdn.beta_reparam(gdn.beta), gdn.gamma_reparam(gdn.gamma)
        self.mix = nn.Conv2d(len(beta), len(beta), 1)
        self.mix.weight = nn.Parameter(gamma[:, :, None, None].clone())
        self.mix.bias = nn.Parameter(beta.clone())
        self.inverse, self.squares = bool(gdn.inverse), squares

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keep the shape."""
        # Squares of magnitudes, not of x itself: ExecuTorch would take that product for one of its 8-bit ones.
        magnitude = x.abs()
        norm: torch.Tensor = self.mix(magnitude * magnitude if self.squares else magnitude)
        if self.squares:
            norm = norm.sqrt()
        return x * norm if self.inverse else x / norm


def _replace_gdn(parent: nn.Module) -> None:
    from compressai.layers import GDN, GDN1  # heavy, and not silent: whoever has such a layer has imported it before

    for name, child in parent.named_children():
        if isinstance(child, GDN):
            setattr(parent, name, PlainGDN(child, squares=not isinstance(child, GDN1)))


def _fold_batch_norms(parent: nn.Module) -> None:
    """A batch norm registered right behind a convolution of as many channels is what follows it in all our models."""
    children = list(parent.named_children())
    for (name, layer), (after, norm) in zip(children, children[1:], strict=False):
        if (
            isinstance(layer, nn.Conv2d)
            and type(norm) is nn.BatchNorm2d  # not one with an activation inside
            and norm.num_features == layer.out_channels
        ):
            setattr(parent, name, fuse_conv_bn_eval(layer, norm))
            setattr(parent, after, nn.Identity())
    for name, norm in list(parent.named_children()):
        if type(norm) is nn.BatchNorm2d:
            setattr(parent, name, PlainNorm(norm))
