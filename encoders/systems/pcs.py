"""PCS 2022, "Efficient Feature Compression for Edge-Cloud Systems": ours_n0, ours_n4, ours_n8 and their _enc variants.

The encoder sees the picture as 8x8 patches that do not overlap, refines them with pre-activation residual blocks and
projects them to 64 latent channels; the decoder rebuilds what ResNet-50's first stage would have put out, and the rest
of ResNet-50 goes on from there. Module names reproduce the key names of the published checkpoints. The _enc variants
have the same layers; they were trained with the tail frozen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from compressai.entropy_models import EntropyBottleneck
from torch import nn
from torchvision.models import resnet50

from encoders.model import SplitModel, StagedModel, Task
from encoders.prior import Prior
from encoders.registry import ModelSpec
from encoders.systems.backbones import IMAGENET
from encoders.systems.tails import SmallTail
from runtime.errors import UnknownName

HIDDEN = 128
PATCH = 8
FEATURES = 256  # channels behind ResNet-50's first stage


class ResidualBlock(nn.Module):
    """Pre-activation block that halves the channels in between; nothing follows the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(channels, channels // 2, 3, padding=1)
        self.conv_2 = nn.Conv2d(channels // 2, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keep the shape."""
        inner = self.conv_1(nn.functional.gelu(x))
        refined: torch.Tensor = x + self.conv_2(nn.functional.gelu(inner))
        return refined


def make_encoder(blocks: int, latent_channels: int) -> nn.Sequential:
    """Patches, residual blocks (one GELU where there are none), projection."""
    middle: list[nn.Module] = [ResidualBlock(HIDDEN) for _ in range(blocks)] or [nn.GELU()]
    return nn.Sequential(nn.Conv2d(3, HIDDEN, PATCH, stride=PATCH), *middle, nn.Conv2d(HIDDEN, latent_channels, 1))


def make_decoder(latent_channels: int) -> nn.Sequential:
    """Twice the grid, then three convolutions to the features of ResNet-50's first stage."""
    return nn.Sequential(
        nn.ConvTranspose2d(latent_channels, FEATURES, 5, stride=2, padding=2, output_padding=1),
        nn.GELU(),
        nn.Conv2d(FEATURES, 2 * FEATURES, 3, padding=1),
        nn.GELU(),
        nn.Conv2d(2 * FEATURES, FEATURES, 3, padding=1),
        nn.GELU(),
        nn.Conv2d(FEATURES, FEATURES, 1),
    )


class Bottleneck(nn.Module):
    """Encoder and prior, and the decoder where there is one, under the names of the published files."""

    def __init__(self, blocks: int, latent_channels: int, decoder: nn.Module | None) -> None:
        super().__init__()
        self.entropy_bottleneck = EntropyBottleneck(latent_channels)
        self.encoder = make_encoder(blocks, latent_channels)
        if decoder is not None:
            self.decoder = decoder


class PCSSender(SplitModel):
    """The device's half, which all receivers share."""

    bottleneck_layer: Bottleneck
    encoder_keys = ("bottleneck_layer.encoder.", "bottleneck_layer.entropy_bottleneck.")

    @property
    def encoder(self) -> nn.Sequential:
        """See :class:`SplitModel`."""
        return self.bottleneck_layer.encoder

    @property
    def prior(self) -> Prior:
        """See :class:`SplitModel`."""
        prior: Prior = self.bottleneck_layer.entropy_bottleneck
        return prior

    def adopt(self, state: dict[str, torch.Tensor]) -> None:
        """See :class:`SplitModel`: from fewer residual blocks, too, where the added ones begin as identities."""
        prefix = "bottleneck_layer.encoder."
        last = len(self.encoder) - 1
        theirs = max((int(k.split(".")[2]) for k in state if k.startswith(prefix)), default=last)
        for block in self.encoder[theirs:last]:
            for parameter in cast(ResidualBlock, block).conv_2.parameters():
                nn.init.zeros_(parameter)
        moved = {k.replace(f"{prefix}{theirs}.", f"{prefix}{last}."): v for k, v in state.items()}
        missing, unexpected = self.load_state_dict(moved, strict=False)
        grown = tuple(f"{prefix}{index}." for index in range(theirs, last))
        if unexpected or any(not k.startswith(grown) for k in missing):
            raise RuntimeError(f"keys differ: {', '.join([*unexpected, *missing][:4])}")


class PCSModel(PCSSender, StagedModel):
    """Bottleneck in place of ResNet-50's stem and first stage, then the rest of ResNet-50."""

    receiver_keys = (
        "bottleneck_layer.decoder.",
        "bottleneck_layer.entropy_bottleneck.",
        "layer2.",
        "layer3.",
        "layer4.",
        "fc.",
    )

    def __init__(self, blocks: int, latent_channels: int, classes: tuple[str, ...] = IMAGENET) -> None:
        super().__init__()
        self.bottleneck_layer = Bottleneck(blocks, latent_channels, make_decoder(latent_channels))
        backbone = resnet50(weights=None, num_classes=len(classes))
        self.layer2, self.layer3, self.layer4 = backbone.layer2, backbone.layer3, backbone.layer4
        self.avgpool, self.fc = backbone.avgpool, backbone.fc
        self.class_names = classes

    @property
    def tail(self) -> list[str]:
        """See :class:`StagedModel`: ResNet-50 without its stem and first stage."""
        return ["layer2", "layer3", "layer4", "fc"]

    def stages(self, latent: torch.Tensor) -> list[torch.Tensor]:
        """See :class:`StagedModel`: the four stages of ResNet-50, the first from the decoder."""
        features = [self.bottleneck_layer.decoder(latent)]
        for stage in (self.layer2, self.layer3, self.layer4):
            features.append(stage(features[-1]))
        return features

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        """See :class:`StagedModel`: logits, of the 1,000 ImageNet classes unless it was made for others."""
        logits: torch.Tensor = self.fc(self.avgpool(features).flatten(1))
        return logits


class PCSDemo(PCSSender):
    """The same device half with a small classifier behind it, for weights that train on two CPU cores."""

    receiver_keys = ("tail.", "bottleneck_layer.entropy_bottleneck.")

    def __init__(self, blocks: int, latent_channels: int, classes: tuple[str, ...]) -> None:
        super().__init__()
        self.bottleneck_layer = Bottleneck(blocks, latent_channels, decoder=None)
        self.tail = SmallTail(latent_channels, len(classes))
        self.class_names = classes

    def receive(self, latent: torch.Tensor) -> torch.Tensor:
        """See :class:`SplitModel`: logits of the classes it was trained on."""
        logits: torch.Tensor = self.tail(latent)
        return logits


TAILS: dict[str, Callable[[int, int, tuple[str, ...]], SplitModel]] = {"small": PCSDemo, "resnet50": PCSModel}


def build(spec: ModelSpec, task: Task | None = None) -> SplitModel:
    """Make the model that the registry describes, with the paper's receiver or with the one that the task wants."""
    task = task or Task(IMAGENET, "resnet50")
    if task.tail not in TAILS:
        raise UnknownName("tail", task.tail, TAILS)
    return TAILS[task.tail](spec.options["blocks"], spec.latent_channels, task.classes)
