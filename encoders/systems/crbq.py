"""SC2 benchmark: bottlenecks without a prior (channel reduction, then 8-bit quantisation; "CR+BQ").

A few convolutions squeeze the picture into ``c`` channels whose real numbers are cut into 256 steps between the
extremes of each picture; the decoder rebuilds what some stage of a known classifier would have put out. The first
layout here is the one that the benchmark's release 0.0.3 and its published checkpoints have; the others are the
functions of today's code. Module names reproduce the key names of the published checkpoints.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import nn
from torchvision.models import resnet50

from encoders import settle
from encoders.model import Output, Task
from encoders.registry import ModelSpec
from encoders.systems.backbones import Backbone
from encoders.systems.sc2 import BottleneckModel
from runtime.payload import Grid
from runtime.tables import FLAG_BOUND, TOTAL, Tables, integer_weights

#: A symbol is an 8-bit number less an 8-bit zero point.
FURTHEST = 255
#: Spread of the liveliest and the quietest latent channel of seeded weights. One scale serves all channels.
_WIDEST, _NARROWEST = 1.0, 0.3


class Layers(NamedTuple):
    """Of one bottleneck, for each side."""

    encoder: Iterable[nn.Module]
    decoder: Iterable[nn.Module]


def _conv(given: int, made: int, kernel: int = 2, stride: int = 1, padding: int = 0) -> nn.Conv2d:
    return nn.Conv2d(given, made, kernel, stride=stride, padding=padding, bias=False)


def _normed(given: int, made: int, padding: int = 0) -> list[nn.Module]:
    return [_conv(given, made, padding=padding), nn.BatchNorm2d(made)]


def _active(given: int, made: int, padding: int = 0) -> list[nn.Module]:
    return [*_normed(given, made, padding), nn.ReLU()]


def _stem(padding: int = 1) -> list[nn.Module]:
    """What the classifier itself begins with, or without padding Inception's share of it."""
    return [_conv(3, 64, 7, 2, 3 * padding), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=padding)]


def _in_place_of_layer1(channels: int, widths: tuple[int, int, int, int]) -> Layers:
    """Squeeze the stem's 64 channels on a grid that grows by one with each convolution, and shrinks back."""
    first, second, third, fourth = widths
    return Layers(
        [*_normed(64, 64, 1), *_active(64, 256, 1), *_normed(256, 64, 1), _conv(64, channels, padding=1)],
        [
            *(nn.BatchNorm2d(channels), nn.ReLU()),
            *(*_normed(channels, first), *_active(first, second)),
            *(*_normed(second, third), *_active(third, fourth)),
        ],
    )


def _released(channels: int) -> Layers:
    """Release 0.0.3's ``larger_resnet_bottleneck``: stem and first stage of a ResNet in one."""
    inner = _in_place_of_layer1(channels, (64, 128, 256, 256))
    return Layers([*_stem(), *inner.encoder], inner.decoder)


def _resnet(channels: int) -> Layers:
    """Today's ``larger_resnet_bottleneck``, which also replaces the second stage."""
    return Layers(
        [*_stem(), nn.BatchNorm2d(64), nn.ReLU(), _conv(64, channels, 2, 2, 1)],
        [
            *(nn.BatchNorm2d(channels), nn.ReLU()),
            *(*_active(channels, 512, 1), *_active(512, 512, 1), *_active(512, 512), *_active(512, 512)),
            nn.AvgPool2d(2, stride=1),
        ],
    )


def _densenet(channels: int) -> Layers:
    """``larger_densenet_bottleneck``: the latent is normalised before it is sent."""
    return Layers(
        [*_stem(), nn.BatchNorm2d(64), nn.ReLU(), _conv(64, channels, 2, 2, 1), nn.BatchNorm2d(channels)],
        [
            nn.ReLU(),
            *(*_active(channels, 512, 1), *_active(512, 512, 1), *_active(512, 256)),
            *(*_active(256, 256), *_active(256, 256)),
            nn.AvgPool2d(2, stride=2),
        ],
    )


def _inception(channels: int) -> Layers:
    """``inception_v3_bottleneck``, for pictures of 299."""
    return Layers(
        [*_stem(padding=0), nn.BatchNorm2d(64), nn.ReLU(), _conv(64, channels, 2, 2, 1)],
        [
            *(nn.BatchNorm2d(channels), nn.ReLU()),
            *(*_active(channels, 256, 1), *_active(256, 256), *_active(256, 192)),
            nn.AvgPool2d(2, stride=1),
        ],
    )


LAYOUTS: dict[str, Callable[[int], Layers]] = {
    "released": _released,
    "resnet": _resnet,
    "densenet": _densenet,
    "inception": _inception,
    "larger_layer1": lambda channels: _in_place_of_layer1(channels, (64, 128, 128, 256)),
    "smaller_layer1": lambda channels: _in_place_of_layer1(channels, (64, 128, 64, 64)),
}


class Bottleneck(nn.Module):
    """Encoder and decoder under the names of the published files."""

    def __init__(self, layers: Layers) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Sequential(*layers.encoder), nn.Sequential(*layers.decoder)


class PlainBottleneck(BottleneckModel):
    """Bottleneck in place of a classifier's first stages, then the rest of the classifier."""

    encoder_keys: tuple[str, ...] = ("bottleneck_layer.encoder.",)
    decoder_name = "decoder"

    @property
    def encoder(self) -> nn.Sequential:
        """See :class:`encoders.model.SplitModel`."""
        return cast(nn.Sequential, self.bottleneck_layer.encoder)

    @property
    def last(self) -> list[nn.Conv2d]:
        """See :class:`encoders.model.SplitModel`: a normalisation may follow."""
        return [layer for layer in self.encoder if isinstance(layer, nn.Conv2d)][-1:]

    @property
    def outputs(self) -> tuple[Output, ...]:
        """See :class:`encoders.model.SplitModel`: real numbers, whose scale the codec chooses for each picture."""
        return (Output(np.zeros(self.last[0].out_channels, np.float32), rounded=False),)

    def tables(self, grid: Grid) -> Tables:
        """See :class:`encoders.model.SplitModel`: every number as likely as any other, since nobody has learnt more."""
        channels = self.last[0].out_channels
        row = integer_weights(np.append(np.ones(2 * FURTHEST + 1), 0))
        return Tables.build([row] * channels, [-FURTHEST] * channels, [round(FLAG_BOUND * TOTAL)] * channels)

    def settle(self, pictures: torch.Tensor) -> None:
        """See :class:`encoders.model.SplitModel`: channels that move about as much as each other."""
        settle.scale(self.last, self.encoder(pictures), _WIDEST, _NARROWEST)


class BehindStem(PlainBottleneck):
    """The same in place of a ResNet's first stage alone: the device runs the ResNet's own stem, too."""

    encoder_keys = ("conv1.", "bn1.", "bottleneck_layer.encoder.")

    def __init__(self, bottleneck: nn.Module, backbone: Backbone) -> None:
        super().__init__(bottleneck, backbone)
        stock = resnet50(weights=None)
        self.conv1, self.bn1, self.relu, self.maxpool = stock.conv1, stock.bn1, stock.relu, stock.maxpool

    @property
    def encoder(self) -> nn.Sequential:
        """See :class:`encoders.model.SplitModel`."""
        return nn.Sequential(self.conv1, self.bn1, self.relu, self.maxpool, *super().encoder)

    def translate(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """See :class:`encoders.model.SplitModel`: files may call the bottleneck after the stage that it replaces."""
        return {
            re.sub(r"^layer1\.(?=encoder|decoder)", "bottleneck_layer.", key): value for key, value in state.items()
        }


def build(spec: ModelSpec, task: Task | None = None) -> PlainBottleneck:
    """Make the model that the registry describes; it has the paper's receiver only."""
    layout = spec.options["layout"]
    made = BehindStem if layout.endswith("layer1") else PlainBottleneck
    return made(Bottleneck(LAYOUTS[layout](spec.latent_channels)), Backbone.of(spec.options["backbone"]))
