"""SC2 benchmark: the bottleneck with GDN1 and a factorized prior, shared by Entropic Student and End-to-End.

Three convolutions and two normalisations on the device; the mirror image of them rebuilds what the first stage of the
classifier behind would have put out. PCS 2022 uses the same bottleneck as its baseline ``matsubara2022wacv``. Module
names reproduce the key names of the published checkpoints.
"""

from __future__ import annotations

from typing import cast

import torch
from compressai.entropy_models import EntropyBottleneck
from compressai.layers import GDN1
from torch import nn

from encoders.model import StagedModel, Task
from encoders.prior import Prior
from encoders.registry import ModelSpec
from encoders.systems.backbones import FEATURES, Backbone


def make_encoder(widths: tuple[int, ...]) -> nn.Sequential:
    """A quarter of the picture's sides, less one."""
    picture, first, second, latent = widths
    return nn.Sequential(
        nn.Conv2d(picture, first, 5, stride=2, padding=2, bias=False),
        GDN1(first),
        nn.Conv2d(first, second, 5, stride=2, padding=2, bias=False),
        GDN1(second),
        nn.Conv2d(second, latent, 2, bias=False),
    )


def make_decoder(latent: int, features: int) -> nn.Sequential:
    """To the features that the classifier goes on from, on one position more each way."""
    return nn.Sequential(
        nn.Conv2d(latent, 2 * features, 2, padding=1, bias=False),
        GDN1(2 * features, inverse=True),
        nn.Conv2d(2 * features, features, 2, bias=False),
        GDN1(features, inverse=True),
        nn.Conv2d(features, features, 2, padding=1, bias=False),
    )


class Bottleneck(nn.Module):
    """Encoder, prior and decoder under the names of the published files."""

    def __init__(self, widths: tuple[int, ...], features: int) -> None:
        super().__init__()
        self.entropy_bottleneck = EntropyBottleneck(widths[-1])
        self.encoder = make_encoder(widths)
        self.decoder = make_decoder(widths[-1], features)


class BottleneckModel(StagedModel):
    """A bottleneck in place of a classifier's stem and first stage, then the rest of the classifier."""

    decoder_name: str

    def __init__(self, bottleneck: nn.Module, backbone: Backbone) -> None:
        super().__init__()
        self.bottleneck_layer = bottleneck
        self.class_names = backbone.classes
        self._run = backbone.stages, backbone.classify
        self._tail = list(backbone.modules)
        for name, module in backbone.modules.items():
            self.add_module(name, module)
        for name, parameter in backbone.parameters.items():
            self.register_parameter(name, parameter)
        self.receiver_keys = (
            f"bottleneck_layer.{self.decoder_name}.",
            "bottleneck_layer.entropy_bottleneck.",
            *(f"{name}." for name in backbone.modules),
            *backbone.parameters,
        )

    @property
    def tail(self) -> list[str]:
        """See :class:`encoders.model.StagedModel`."""
        return self._tail

    def stages(self, latent: torch.Tensor) -> list[torch.Tensor]:
        """See :class:`encoders.model.StagedModel`."""
        features: torch.Tensor = self.bottleneck_layer.get_submodule(self.decoder_name)(latent)
        return self._run[0](self, features)

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        """See :class:`encoders.model.StagedModel`."""
        return self._run[1](self, features)


class SC2Model(BottleneckModel):
    """With a factorized prior."""

    encoder_keys = ("bottleneck_layer.encoder.", "bottleneck_layer.entropy_bottleneck.")
    decoder_name = "decoder"

    @property
    def encoder(self) -> nn.Sequential:
        """See :class:`encoders.model.SplitModel`."""
        return cast(nn.Sequential, self.bottleneck_layer.encoder)

    @property
    def prior(self) -> Prior:
        """See :class:`encoders.model.SplitModel`."""
        return cast(Prior, self.bottleneck_layer.entropy_bottleneck)


def build(spec: ModelSpec, task: Task | None = None) -> SC2Model:
    """Make the model that the registry describes; it has the paper's receiver only."""
    backbone = spec.options["backbone"]
    return SC2Model(Bottleneck(spec.options["widths"], FEATURES[backbone]), Backbone.of(backbone))
