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
        _standardise_once(parent)
        _spell_out_group_norms(parent)
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


class PlainStandardised(nn.Module):
    """A convolution that standardises its weights each time it runs, with weights for which that has been done."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        filters = layer.weight.detach().flatten(1)
        centred = filters - filters.mean(dim=1, keepdim=True)
        standard = centred / torch.sqrt(centred.square().mean(dim=1, keepdim=True) + layer.eps)
        self.layer = nn.Conv2d(
            layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding, layer.dilation,
            layer.groups, layer.bias is not None,
        )  # fmt: skip
        self.layer.weight, self.layer.bias = nn.Parameter(standard.view_as(layer.weight)), layer.bias
        self.pads = bool(getattr(layer, "same_pad", False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As the original, which pads so that only the stride makes the result smaller."""
        if self.pads:
            from timm.layers.padding import pad_same

            x = pad_same(x, list(self.layer.kernel_size), list(self.layer.stride), list(self.layer.dilation))
        made: torch.Tensor = self.layer(x)
        return made


def _standardise_once(parent: nn.Module) -> None:
    for name, child in parent.named_children():
        if type(child).__name__ in ("StdConv2d", "StdConv2dSame"):  # timm's; no need to import it to know them
            setattr(parent, name, PlainStandardised(child))


class PlainGroupNorm(nn.Module):
    """A group norm, and the activation that timm's has inside, in arithmetic.

    OpenVINO 2026.4 has an operator for it, and its CPU plugin crashes on two residual blocks with that in a row.
    """

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.groups, self.eps = norm.num_groups, norm.eps
        self.factor = nn.Parameter(norm.weight.detach().view(1, -1, 1, 1))
        self.term = nn.Parameter(norm.bias.detach().view(1, -1, 1, 1))
        self.activation = getattr(norm, "act", nn.Identity())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keep the shape."""
        grouped = x.reshape(x.shape[0], self.groups, -1)
        grouped = grouped - grouped.mean(dim=2, keepdim=True)
        grouped = grouped / torch.sqrt(grouped.square().mean(dim=2, keepdim=True) + self.eps)
        made: torch.Tensor = self.activation(grouped.reshape(x.shape) * self.factor + self.term)
        return made


def _spell_out_group_norms(parent: nn.Module) -> None:
    for name, child in parent.named_children():
        if isinstance(child, nn.GroupNorm):
            setattr(parent, name, PlainGroupNorm(child))


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
