"""Integer tables from a trained factorized prior.

The prior gives each channel's cumulative distribution as a smooth function; everything is evaluated in float64, once,
and rounded to integers (see :mod:`runtime.tables`). How wide a table is follows from the distribution itself, not from
the checkpoint's quantiles: the published PCS files never trained those.
"""

from __future__ import annotations

import copy
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from runtime.tables import FLAG_BOUND, TOTAL, WIDEST, Tables, integer_weights

#: Mass that may stay outside the bins, on both sides together.
TAIL = 2.0**-20


class Prior(Protocol):
    """A factorized prior: a cumulative distribution and a median for each latent channel."""

    channels: int
    quantiles: nn.Parameter

    def _logits_cumulative(self, inputs: torch.Tensor, stop_gradient: bool) -> torch.Tensor: ...


def medians(prior: Prior) -> npt.NDArray[np.float32]:
    """What a symbol of zero stands for, for each channel."""
    return cast("npt.NDArray[np.float32]", prior.quantiles.detach()[:, 0, 1].float().numpy().copy())


def tables(prior: Prior, cells: int) -> Tables:
    """Tables for symbols ``round(latent - median)`` of channels with this many positions."""
    below, above = _tail_masses(prior)
    symbols = np.arange(-WIDEST, WIDEST + 1)
    rows, lows, flags = [], [], []
    for lower, upper in zip(below, above, strict=True):
        # lower[i] is the mass below symbol i's bin, upper[i] the mass above symbol i - 1's bin.
        first = int(np.searchsorted(lower[:-1], TAIL / 2, side="right")) - 1
        last = len(symbols) - int(np.searchsorted(upper[1:][::-1], TAIL / 2, side="right"))
        low, high = min(int(symbols[max(first, 0)]), -1), max(int(symbols[min(last, len(symbols) - 1)]), 1)
        bins = slice(low + WIDEST, high + WIDEST + 1)
        mass = np.where(lower[bins] < 0.5, np.diff(lower)[bins], -np.diff(upper)[bins])
        outside = lower[bins.start] + upper[bins.stop]
        rows.append(integer_weights(np.append(np.maximum(mass, 0), outside)))
        lows.append(low)
        # The prior knows channels as independent positions; real ones are all zero more often than that product says,
        # and a certain "no" would make the pleasant surprise expensive.
        zero = np.clip(mass[-low] ** cells, FLAG_BOUND, 1 - FLAG_BOUND)
        flags.append(round(float(zero) * TOTAL))
    return Tables.build(rows, lows, flags, medians(prior))


def _tail_masses(prior: Prior) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mass below and above each bin edge -2047.5 .. 2047.5: both, since 1 - x loses the small one."""
    exact = copy.deepcopy(cast(Any, prior)).double()
    edges = torch.arange(-WIDEST, WIDEST + 2, dtype=torch.float64) - 0.5
    centre = exact.quantiles.detach()[:, :, 1:2]
    with torch.no_grad():
        logits = exact._logits_cumulative(centre + edges, stop_gradient=False)[:, 0]
    return torch.sigmoid(logits).numpy(), torch.sigmoid(-logits).numpy()
