"""Seeded weights: a network that is not trained, but whose latents and prior behave as if it were."""

from __future__ import annotations

import numpy as np
import torch

from encoders.drawn import draw
from encoders.model import SplitModel
from encoders.registry import ModelSpec

_PICTURES = 6


def seeded(spec: ModelSpec, seed: int) -> SplitModel:
    """Build a model whose weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = spec.build().eval()
        model.settle(pictures(spec))
    return model


def pictures(spec: ModelSpec) -> torch.Tensor:
    """Drawn ones, normalised, to see with what layers put out."""
    pixels = np.stack([draw(seed, spec.size) for seed in range(_PICTURES)])
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (spec.mean, spec.std))
    return (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std
