"""The network as a device runs it: uint8 picture in, integer symbols out.

Normalisation and medians disappear into the first and the last convolution where that is exact, and rounding is the
last operation, so a device only decodes a picture, runs the graph and codes integers.
"""

from __future__ import annotations

import copy
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from encoders.model import SplitModel
from encoders.registry import ModelSpec

#: Adding and subtracting 1.5 * 2^23 rounds a float32 half to even, exactly, for values up to 2^22.
_ROUNDER = 12582912.0


class DeviceEncoder(nn.Module):
    """Input (1, H, W, 3) uint8; output (1, C, h, w) int32.

    Converters differ in what they run fast. ``channels_first`` declares the input as (1, 3, H, W) instead, which in
    channels-last memory is the same bytes. ``rounding_by_sum`` rounds without a rounding operator, and
    ``integers_as_float`` leaves the integers in float32. ``half`` computes in float16.
    """

    def __init__(
        self,
        model: SplitModel,
        spec: ModelSpec,
        medians: npt.NDArray[np.float32],
        *,
        channels_first: bool = False,
        rounding_by_sum: bool = False,
        integers_as_float: bool = False,
        half: bool = False,
    ) -> None:
        super().__init__()
        self.channels_first, self.rounding_by_sum = channels_first, rounding_by_sum
        self.integers_as_float = integers_as_float
        layers = copy.deepcopy(model.encoder)
        self.normalise = _fold_normalisation(layers, spec)
        self.centre = _fold_medians(layers, medians)
        self.layers = layers
        self.compute = torch.float16 if half else torch.float32
        if half:
            self.half()

    def latent(self, picture: torch.Tensor) -> torch.Tensor:
        """Latent less its median, before rounding."""
        x = picture if self.channels_first else picture.permute(0, 3, 1, 2)
        y = self.centre(self.layers(self.normalise(x.to(self.compute))))
        return cast(torch.Tensor, y.to(torch.float32))

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """Symbols."""
        y = self.latent(picture)
        y = round_by_sum(y) if self.rounding_by_sum else torch.round(y)
        return y if self.integers_as_float else y.to(torch.int32)


def round_by_sum(latent: torch.Tensor) -> torch.Tensor:
    """Half to even, by two sums, for engines whose rounding operator is slow or missing."""
    return (latent + _ROUNDER) - _ROUNDER


class QuantisableEncoder(nn.Module):
    """The same network between real numbers, as quantisers want it: they put integers at both ends themselves.

    Input (1, 3, H, W) float32, pixels from 0 to 255; output the latent less its median, (1, C, h, w) float32.
    """

    def __init__(self, model: SplitModel, spec: ModelSpec, medians: npt.NDArray[np.float32]) -> None:
        super().__init__()
        layers = copy.deepcopy(model.encoder)
        self.normalise = _fold_normalisation(layers, spec)
        self.centre = _fold_medians(layers, medians)
        self.layers = layers

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Latent less its median."""
        y: torch.Tensor = self.centre(self.layers(self.normalise(pixels)))
        return y


class DeviceReceiver(nn.Module):
    """Input the quantised latent (1, C, h, w) float32; output the task network's logits."""

    def __init__(self, model: SplitModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        """Logits."""
        return self.model.receive(latent)


class _Affine(nn.Module):
    """x * scale + offset per channel, for what could not be folded."""

    def __init__(self, scale: torch.Tensor, offset: torch.Tensor) -> None:
        super().__init__()
        self.scale: torch.Tensor
        self.offset: torch.Tensor
        self.register_buffer("scale", scale.view(1, -1, 1, 1).float())
        self.register_buffer("offset", offset.view(1, -1, 1, 1).float())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale + self.offset


def _fold_normalisation(layers: nn.Sequential, spec: ModelSpec) -> nn.Module:
    """(pixel / 255 - mean) / std, inside the first convolution if that has no padding.

    With padding it cannot be: the zeros around the picture are normalised zeros, which no pixel value equals.
    """
    mean, std = torch.tensor(spec.mean, dtype=torch.float64), torch.tensor(spec.std, dtype=torch.float64)
    scale = 1 / (255 * std)
    offset = -mean / std
    first = layers[0]
    if not isinstance(first, nn.Conv2d) or any(map(bool, first.padding)) or first.groups != 1:
        return _Affine(scale, offset)
    weight = first.weight.detach().double()
    bias = torch.zeros(first.out_channels) if first.bias is None else first.bias.detach()
    shifted = bias.double() + (weight * offset.view(1, 3, 1, 1)).sum(dim=(1, 2, 3))
    first.weight = nn.Parameter((weight * scale.view(1, 3, 1, 1)).float())
    first.bias = nn.Parameter(shifted.float())
    return nn.Identity()


def _fold_medians(layers: nn.Sequential, medians: npt.NDArray[np.float32]) -> nn.Module:
    """Subtract the medians inside the last convolution's bias."""
    last = layers[-1]
    centre = torch.from_numpy(medians).double()
    if not isinstance(last, nn.Conv2d):
        return _Affine(torch.ones(len(centre)), -centre)
    bias = torch.zeros(last.out_channels) if last.bias is None else last.bias.detach()
    last.bias = nn.Parameter((bias.double() - centre).float())
    return nn.Identity()
