"""Seeded weights: a network that is not trained, but whose latents and prior behave as if it were.

Freshly initialised layers put out latents close to zero, and a fresh prior expects them up to ten steps wide; payloads
of such a pair say nothing. Here each latent channel is scaled to a spread between a step and almost none, as trained
encoders show, and the prior is a logistic distribution of that spread around that channel's mean.
"""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import torch
from torch import nn

from encoders.drawn import draw
from encoders.model import SplitModel
from encoders.registry import ModelSpec

_WIDEST, _NARROWEST = 0.7, 0.01  # spread of the liveliest and the quietest channel, in quantisation steps
_PICTURES = 6


def seeded(spec: ModelSpec, seed: int) -> SplitModel:
    """Build a model whose weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = spec.build().eval()
        spread = torch.logspace(math.log10(_WIDEST), math.log10(_NARROWEST), spec.latent_channels)
        spread = spread[torch.randperm(spec.latent_channels)]
    with torch.no_grad():
        latent = model.encoder(_pictures(spec)).transpose(0, 1).flatten(1)
        gain = spread / latent.std(dim=1)
        last = cast(nn.Conv2d, model.encoder[-1])
        last.weight *= gain.view(-1, 1, 1, 1)
        if last.bias is not None:
            last.bias *= gain
        _fit_prior(cast(nn.Module, model.prior), centre=latent.mean(dim=1) * gain, spread=spread)
    return model


def _pictures(spec: ModelSpec) -> torch.Tensor:
    pixels = np.stack([draw(seed, spec.size) for seed in range(_PICTURES)])
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (spec.mean, spec.std))
    return (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std


def _fit_prior(prior: nn.Module, centre: torch.Tensor, spread: torch.Tensor) -> None:
    """Set the prior's little networks to logit(v) = (v - centre) / scale.

    Each of its five layers is affine with softplus weights, plus a tanh term that a zero factor turns off. The first
    layer gets the slope and the offset; the others average their three inputs.
    """
    slope = math.pi / math.sqrt(3) / spread  # a logistic of scale s has a spread of s * pi / sqrt(3)
    for name, parameter in prior.named_parameters():
        kind, index = name.strip("_").rstrip("0123456789").rstrip("."), name[-1]
        if kind in ("factor", "factors"):
            parameter.zero_()
        elif kind in ("matrix", "matrices") and index == "0":
            parameter.copy_(_inverse_softplus(slope).view(-1, 1, 1).expand_as(parameter))
        elif kind in ("matrix", "matrices"):
            parameter.fill_(_inverse_softplus(torch.tensor(1 / parameter.shape[2])).item())
        elif kind in ("bias", "biases"):
            parameter.copy_((-slope * centre if index == "0" else 0 * slope).view(-1, 1, 1).expand_as(parameter))
        elif kind == "quantiles":
            parameter.copy_(torch.stack([centre - 10 * spread, centre, centre + 10 * spread], dim=1).unsqueeze(1))


def _inverse_softplus(value: torch.Tensor) -> torch.Tensor:
    return value + torch.log(-torch.expm1(-value))
