"""What all models with a hyperprior share: a second, smaller latent that tells how the first one is distributed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from encoders import settle
from encoders.costs import count_macs
from encoders.fixed_point import fixed_point
from encoders.model import Output, SplitModel
from encoders.prior import Prior, medians, tables
from encoders.registry import Window
from runtime.payload import Grid
from runtime.tables import Tables

#: Standard deviations of the liveliest and the quietest channel of a latent that nobody trained.
_WIDEST, _NARROWEST = 2.0, 0.05


class HyperAnalysis(nn.Module):
    """Both analyses: from the picture to the latent, and from that to the hyper latent."""

    def __init__(self, g_a: nn.Sequential, h_a: nn.Sequential, magnitudes: bool) -> None:
        super().__init__()
        self.g_a, self.h_a, self.magnitudes = g_a, h_a, magnitudes

    @property
    def first(self) -> nn.Module:
        """The layer that reads the picture."""
        return self.g_a[0]

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Latent and hyper latent."""
        y = self.g_a(x)
        return y, self.h_a(y.abs() if self.magnitudes else y)


class HyperModel(SplitModel):
    """A model whose ``coder`` owns ``g_a``, ``h_a``, ``h_s``, ``entropy_bottleneck`` and ``gaussian_conditional``.

    ``means`` says whether the hyper-synthesis gives means beside the scales; where not, the hyper-analysis reads
    magnitudes. ``hyper_windows`` are the convolutions of the hyper-analysis.
    """

    means: bool
    hyper_windows: Sequence[Window]

    @property
    @abstractmethod
    def coder(self) -> Any:
        """The module that owns the transforms."""

    @property
    def encoder(self) -> HyperAnalysis:
        """See :class:`SplitModel`."""
        return HyperAnalysis(self.coder.g_a, self.coder.h_a, magnitudes=not self.means)

    @property
    def prior(self) -> Prior:
        """See :class:`SplitModel`: that of the hyper latent."""
        prior: Prior = self.coder.entropy_bottleneck
        return prior

    @property
    def shipped(self) -> nn.Module:
        """See :class:`SplitModel`: a sender computes the hyper-synthesis, too."""
        return nn.ModuleList([self.coder.g_a, self.coder.h_a, self.coder.h_s])

    def macs(self, size: int) -> int:
        """See :class:`SplitModel`."""
        picture = torch.zeros(1, 3, size, size)
        with torch.no_grad():
            _, hyper = self.encoder(picture)
        return super().macs(size) + count_macs(self.coder.h_s, hyper)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """See :class:`SplitModel`: with means to be subtracted first, the latent leaves the graph as it is."""
        channels = self.last[0].out_channels
        return Output(np.zeros(channels, np.float32), rounded=not self.means), Output(medians(self.prior))

    @property
    def last(self) -> Sequence[nn.Conv2d]:
        """See :class:`SplitModel`."""
        return [self.coder.g_a[-1]]

    def further_shapes(self, grid: Grid) -> list[tuple[int, int, int]]:
        """See :class:`SplitModel`."""
        for kernel, stride, padding in self.hyper_windows:
            grid = (grid[0] + 2 * padding - kernel) // stride + 1, (grid[1] + 2 * padding - kernel) // stride + 1
        return [(self.prior.channels, *grid)]

    def tables(self, grid: Grid) -> Tables:
        """See :class:`SplitModel`."""
        ((_, height, width),) = self.further_shapes(grid)
        scales = self.coder.gaussian_conditional.scale_table
        hyper = fixed_point(self.coder.h_s, medians(self.prior), scales, means=self.means, windows=self.hyper_windows)
        return replace(tables(self.prior, height * width), hyper=hyper)

    @torch.no_grad()
    def settle(self, pictures: torch.Tensor) -> None:
        """See :class:`SplitModel`: the hyper-synthesis is fitted to tell the scales that latents have."""
        coder = self.coder
        settle.scale(self.last, coder.g_a(pictures), _WIDEST, _NARROWEST)
        y, z = self.encoder(pictures)
        centre, spread = settle.scale([coder.h_a[-1]], z)
        settle.fit(self.prior, centre, spread)
        _, z = self.encoder(pictures)
        rounded = torch.round(z - centre.view(1, -1, 1, 1)) + centre.view(1, -1, 1, 1)
        wanted = nn.functional.avg_pool2d(y.abs(), 5, stride=1, padding=2) * 1.25
        if self.means:
            wanted = torch.cat([wanted, nn.functional.avg_pool2d(y, 5, stride=1, padding=2)], dim=1)
        settle.predict(coder.h_s[:-1] if isinstance(coder.h_s[-1], nn.ReLU) else coder.h_s, rounded, wanted)
