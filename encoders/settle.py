"""Weights that nobody trained, made to behave: latents that move as trained ones do, and priors that expect them.

Freshly initialised layers put out latents close to zero, and a fresh prior expects them up to ten steps wide; payloads
of such a pair say nothing. Here each latent channel is scaled to a spread between a step and almost none, as trained
encoders show, and the prior is a logistic distribution of that spread around that channel's mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

WIDEST, NARROWEST = 0.7, 0.01  # spread of the liveliest and the quietest channel, in quantisation steps


@torch.no_grad()
def scale(
    last: Sequence[nn.Conv2d], latent: torch.Tensor, widest: float = WIDEST, narrowest: float = NARROWEST
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale the convolutions that a latent (N, C, h, w) comes from; returns each channel's new mean and spread."""
    channels = latent.transpose(0, 1).flatten(1)
    spread = torch.logspace(math.log10(widest), math.log10(narrowest), len(channels))
    spread = spread[torch.randperm(len(channels))]
    gain = spread / channels.std(dim=1)
    for layer in last:
        layer.weight *= gain.view(-1, 1, 1, 1)
        if layer.bias is not None:
            layer.bias *= gain
    return channels.mean(dim=1) * gain, spread


@torch.no_grad()
def fit(prior: Any, centre: torch.Tensor, spread: torch.Tensor) -> None:
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


@torch.no_grad()
def predict(layers: nn.Sequential, inputs: torch.Tensor, wanted: torch.Tensor) -> None:
    """Set the last convolution's weights to those that predict best what is wanted, in least squares with a ridge."""
    last = layers[-1]
    assert isinstance(last, nn.Conv2d)
    kernel, padding = last.kernel_size[0], int(last.padding[0])
    columns = nn.functional.unfold(layers[:-1](inputs), kernel, padding=padding).transpose(1, 2).flatten(0, 1)
    if last.bias is not None:
        columns = torch.cat([columns, torch.ones(len(columns), 1)], dim=1)
    targets = wanted.flatten(2).transpose(1, 2).flatten(0, 1)
    # As many unknowns as positions: a thousand of those are plenty, and quick to solve for.
    every = max(1, len(columns) // 1024)
    columns, targets = columns[::every], targets[::every]
    mixed = columns @ columns.T
    mixed.diagonal().add_(1e-2 * mixed.diagonal().mean())
    solution = columns.T @ torch.linalg.solve(mixed.double(), targets.double()).float()
    if last.bias is not None:
        last.bias.copy_(solution[-1])
        solution = solution[:-1]
    last.weight.copy_(solution.T.reshape(last.weight.shape))
