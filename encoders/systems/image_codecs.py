"""CompressAI's image codecs: a factorized prior, a scale hyperprior, and one that gives means, too.

Here the server rebuilds the picture itself. The networks are CompressAI's own, so that files of its model zoo fit;
their sides come in two sizes, for the lower and the higher qualities.
"""

from __future__ import annotations

import warnings
from typing import Any, cast

import torch
from compressai import models
from compressai.models.base import get_scale_table
from torch import nn

from encoders.hyperprior import HyperModel
from encoders.model import SplitModel, Task
from encoders.prior import Prior
from encoders.registry import ModelSpec

HYPER_WINDOWS = ((3, 1, 1), (5, 2, 2), (5, 2, 2))


class FactorizedCodec(SplitModel):
    """``bmshj2018-factorized``: analysis, factorized prior, synthesis."""

    encoder_keys = ("g_a.", "entropy_bottleneck.")
    receiver_keys = ("g_s.", "entropy_bottleneck.")
    class_names = ()

    def __init__(self, narrow: int, wide: int) -> None:
        super().__init__()
        made = models.FactorizedPrior(narrow, wide)
        self.entropy_bottleneck, self.g_a, self.g_s = made.entropy_bottleneck, made.g_a, made.g_s

    @property
    def encoder(self) -> nn.Sequential:
        """See :class:`encoders.model.SplitModel`."""
        return cast(nn.Sequential, self.g_a)

    @property
    def prior(self) -> Prior:
        """See :class:`encoders.model.SplitModel`."""
        return cast(Prior, self.entropy_bottleneck)

    def receive(self, latent: torch.Tensor) -> torch.Tensor:
        """See :class:`encoders.model.SplitModel`: the picture, from 0 to 1 but for what the network overshoots."""
        picture: torch.Tensor = self.g_s(latent)
        return picture


class HyperCodec(HyperModel):
    """``bmshj2018-hyperprior`` or ``mbt2018-mean``: the same with a hyperprior."""

    encoder_keys = ("g_a.", "h_a.", "h_s.", "entropy_bottleneck.", "gaussian_conditional.")
    receiver_keys = ("g_s.", "entropy_bottleneck.")
    class_names = ()
    hyper_windows = HYPER_WINDOWS

    def __init__(self, narrow: int, wide: int, means: bool) -> None:
        super().__init__()
        made = (models.MeanScaleHyperprior if means else models.ScaleHyperprior)(narrow, wide)
        self.means = means
        self.entropy_bottleneck, self.gaussian_conditional = made.entropy_bottleneck, made.gaussian_conditional
        self.g_a, self.g_s, self.h_a, self.h_s = made.g_a, made.g_s, made.h_a, made.h_s
        self.gaussian_conditional.scale_table = get_scale_table()

    @property
    def coder(self) -> Any:
        """See :class:`encoders.hyperprior.HyperModel`."""
        return self

    def receive(self, latent: torch.Tensor) -> torch.Tensor:
        """See :class:`FactorizedCodec`."""
        picture: torch.Tensor = self.g_s(latent)
        return picture


def build(spec: ModelSpec, task: Task | None = None) -> SplitModel:
    """Make the codec that the registry describes."""
    narrow, wide = spec.options["narrow"], spec.options["wide"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if spec.options["prior"] == "factorized":
            return FactorizedCodec(narrow, wide)
        return HyperCodec(narrow, wide, means=spec.options["prior"] == "mean")
