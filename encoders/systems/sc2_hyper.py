"""SC2 benchmark: the same bottleneck with a scale hyperprior (SHP), or with one that gives means, too (MSHP)."""

from __future__ import annotations

from typing import Any

from compressai.entropy_models import EntropyBottleneck, GaussianConditional
from compressai.models.base import get_scale_table
from torch import nn

from encoders.hyperprior import HyperModel
from encoders.model import Task
from encoders.registry import ModelSpec
from encoders.systems.backbones import FEATURES, Backbone
from encoders.systems.sc2 import BottleneckModel, make_decoder, make_encoder

HYPER_CHANNELS = 16
HYPER_WINDOWS = ((5, 2, 1), (5, 2, 2))


class HyperBottleneck(nn.Module):
    """Four transforms and two distributions under the names of the published files."""

    def __init__(self, widths: tuple[int, ...], features: int, means: bool) -> None:
        super().__init__()
        hyper, latent = HYPER_CHANNELS, widths[-1]
        inner, outer = (3 * hyper // 2, 2 * latent) if means else (hyper, latent)
        self.entropy_bottleneck = EntropyBottleneck(hyper)
        self.g_a = make_encoder(widths)
        self.g_s = make_decoder(latent, features)
        self.h_a = nn.Sequential(
            nn.Conv2d(latent, hyper, 5, stride=2, padding=1, bias=False),
            nn.LeakyReLU() if means else nn.ReLU(),
            nn.Conv2d(hyper, hyper, 5, stride=2, padding=2, bias=False),
        )
        self.h_s = nn.Sequential(
            nn.ConvTranspose2d(hyper, hyper, 5, stride=2, padding=1, bias=False),
            nn.LeakyReLU(),
            nn.ConvTranspose2d(hyper, inner, 5, stride=2, padding=1, bias=False),
            nn.LeakyReLU(),
            nn.Conv2d(inner, outer, 5, bias=False),
        )
        self.gaussian_conditional = GaussianConditional(get_scale_table().tolist())


class SC2HyperModel(HyperModel, BottleneckModel):
    """That bottleneck in place of a classifier's stem and first stage, then the rest of the classifier."""

    encoder_keys = tuple(
        f"bottleneck_layer.{part}." for part in ("g_a", "h_a", "h_s", "entropy_bottleneck", "gaussian_conditional")
    )
    decoder_name = "g_s"
    hyper_windows = HYPER_WINDOWS

    def __init__(self, bottleneck: HyperBottleneck, backbone: Backbone, means: bool) -> None:
        super().__init__(bottleneck, backbone)
        self.means = means

    @property
    def coder(self) -> Any:
        """See :class:`HyperModel`."""
        return self.bottleneck_layer


def build(spec: ModelSpec, task: Task | None = None) -> SC2HyperModel:
    """Make the model that the registry describes; it has the paper's receiver only."""
    backbone, means = spec.options["backbone"], spec.options["means"]
    bottleneck = HyperBottleneck(spec.options["widths"], FEATURES[backbone], means)
    return SC2HyperModel(bottleneck, Backbone.of(backbone), means)
