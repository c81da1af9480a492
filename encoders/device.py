"""The network as a device runs it: uint8 picture in, integer symbols out.

Normalisation and medians disappear into the first and the last convolution where that is exact, and rounding is the
last operation, so a device only decodes a picture, runs the graph and codes integers.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from encoders.model import Output, SplitModel
from encoders.plain import plain
from encoders.registry import ModelSpec

#: Adding and subtracting 1.5 * 2^23 rounds a float32 half to even, exactly, for values up to 2^22.
_ROUNDER = 12582912.0


class _Network(nn.Module):
    """From pixels to what is rounded: normalisation, layers, and for each output centre and step."""

    def __init__(self, model: SplitModel, spec: ModelSpec) -> None:
        super().__init__()
        layers = plain(model.encoder)
        self.normalise = _fold_normalisation(layers, spec)
        self.outputs = model.outputs
        last = layers[-1] if isinstance(layers, nn.Sequential) else None
        only = self.outputs[0]
        #: Whether the symbols are what the last convolution puts out, so that its quantiser can be the codec's.
        self.ends_in_convolution = (
            isinstance(last, nn.Conv2d) and len(self.outputs) == 1 and only.rounded and only.step == 1
        )
        if isinstance(last, nn.Conv2d) and self.ends_in_convolution:
            _fold_centre(last, only)
            self.ends = nn.ModuleList([nn.Identity()])
        else:
            self.ends = nn.ModuleList([_end(output) for output in self.outputs])
        self.layers = layers

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Each output less its centre, in steps, before rounding."""
        latents = self.layers(self.normalise(pixels))
        if isinstance(latents, torch.Tensor):
            latents = (latents,)
        return tuple(end(latent) for end, latent in zip(self.ends, latents, strict=True))


class DeviceEncoder(nn.Module):
    """Input (1, H, W, 3) uint8; output (1, C, h, w) int32, or a tuple of such where the model has several.

    Converters differ in what they run fast. ``channels_first`` declares the input as (1, 3, H, W) instead, which in
    channels-last memory is the same bytes. ``rounding_by_sum`` rounds without a rounding operator, and
    ``integers_as_float`` leaves the integers in float32. ``half`` computes in float16.
    """

    def __init__(
        self,
        model: SplitModel,
        spec: ModelSpec,
        *,
        channels_first: bool = False,
        rounding_by_sum: bool = False,
        integers_as_float: bool = False,
        half: bool = False,
    ) -> None:
        super().__init__()
        self.channels_first, self.rounding_by_sum = channels_first, rounding_by_sum
        self.integers_as_float = integers_as_float
        self.network = _Network(model, spec)
        self.compute = torch.float16 if half else torch.float32
        if half:
            self.half()

    @property
    def outputs(self) -> tuple[Output, ...]:
        """What the model says of each output."""
        return self.network.outputs

    def latents(self, picture: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Each output less its centre, in steps, before rounding."""
        x = picture if self.channels_first else picture.permute(0, 3, 1, 2)
        return tuple(y.to(torch.float32) for y in self.network(x.to(self.compute)))

    def latent(self, picture: torch.Tensor) -> torch.Tensor:
        """The first of them."""
        return self.latents(picture)[0]

    def forward(self, picture: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """Symbols, or the real numbers of an output that is not rounded."""
        made = tuple(
            self._finished(latent, output) for latent, output in zip(self.latents(picture), self.outputs, strict=True)
        )
        return made[0] if len(made) == 1 else made

    def _finished(self, latent: torch.Tensor, output: Output) -> torch.Tensor:
        if not output.rounded:
            return latent
        rounded = round_by_sum(latent) if self.rounding_by_sum else torch.round(latent)
        return rounded if self.integers_as_float else rounded.to(torch.int32)


def round_by_sum(latent: torch.Tensor) -> torch.Tensor:
    """Half to even, by two sums, for engines whose rounding operator is slow or missing."""
    return (latent + _ROUNDER) - _ROUNDER


class QuantisableEncoder(nn.Module):
    """The same network between real numbers, as quantisers want it: they put integers at both ends themselves.

    Input (1, 3, H, W) float32, pixels from 0 to 255. Where the model ends in a convolution, the output is the latent
    less its median, which is still to be rounded; else it is the outputs of :class:`DeviceEncoder`, in float32.
    """

    def __init__(self, model: SplitModel, spec: ModelSpec, *, rounding_by_sum: bool = False) -> None:
        super().__init__()
        self.network, self.rounding_by_sum = _Network(model, spec), rounding_by_sum

    @property
    def ends_in_convolution(self) -> bool:
        """Whether rounding is left to whoever quantises this."""
        return self.network.ends_in_convolution

    @property
    def takes_pixels(self) -> bool:
        """Whether the first convolution reads the pixels themselves."""
        return isinstance(self.network.normalise, nn.Identity)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """See the class."""
        latents: tuple[torch.Tensor, ...] = self.network(pixels)
        if self.ends_in_convolution:
            return latents[0]
        rounding = round_by_sum if self.rounding_by_sum else torch.round
        pairs = zip(latents, self.network.outputs, strict=True)
        made = tuple(rounding(latent) if output.rounded else latent for latent, output in pairs)
        return made[0] if len(made) == 1 else made


class DeviceReceiver(nn.Module):
    """Input the quantised latent (1, C, h, w) float32; output the task network's logits."""

    def __init__(self, model: SplitModel) -> None:
        super().__init__()
        self.model = cast(SplitModel, plain(model))

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


class _Steps(nn.Module):
    """(x - centre) / step, by the very division that defines the symbols."""

    def __init__(self, output: Output) -> None:
        super().__init__()
        self.centre: torch.Tensor
        self.register_buffer("centre", torch.from_numpy(output.centre).view(1, -1, 1, 1))
        self.centred, self.step = bool(output.centre.any()), output.step

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x - self.centre if self.centred else x
        return x / self.step if self.step != 1 else x


def _end(output: Output) -> nn.Module:
    return _Steps(output) if output.step != 1 or output.centre.any() else nn.Identity()


def _fold_normalisation(layers: nn.Module, spec: ModelSpec) -> nn.Module:
    """(pixel / 255 - mean) / std, inside the first convolution if that has no padding.

    With padding it cannot be: the zeros around the picture are normalised zeros, which no pixel value equals.
    """
    mean, std = torch.tensor(spec.mean, dtype=torch.float64), torch.tensor(spec.std, dtype=torch.float64)
    scale = 1 / (255 * std)
    offset = -mean / std
    first = layers[0] if isinstance(layers, nn.Sequential) else getattr(layers, "first", None)
    exact = not offset.any() or not any(map(bool, getattr(first, "padding", ())))
    if not isinstance(first, nn.Conv2d) or not exact or first.groups != 1:
        return _Affine(scale, offset)
    weight = first.weight.detach().double()
    bias = torch.zeros(first.out_channels) if first.bias is None else first.bias.detach()
    shifted = bias.double() + (weight * offset.view(1, 3, 1, 1)).sum(dim=(1, 2, 3))
    first.weight = nn.Parameter((weight * scale.view(1, 3, 1, 1)).float())
    first.bias = nn.Parameter(shifted.float())
    return nn.Identity()


def _fold_centre(last: nn.Conv2d, output: Output) -> None:
    """Subtract the medians inside the last convolution's bias."""
    bias = torch.zeros(last.out_channels) if last.bias is None else last.bias.detach()
    last.bias = nn.Parameter((bias.double() - torch.from_numpy(output.centre).double()).float())
