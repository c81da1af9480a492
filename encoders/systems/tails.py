"""A small receiver for demonstrations: from the quantised latent to class logits, with about half a million parameters.

The paper's receiver rebuilds ResNet-50's features and runs the rest of ResNet-50, which takes ImageNet and GPUs to
train. This one trains together with the encoder on two CPU cores, and ships.
"""

from __future__ import annotations

import torch
from torch import nn


class _Block(nn.Module):
    """Pre-activation residual block with a narrower middle."""

    def __init__(self, channels: int, middle: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.GELU(),
            nn.Conv2d(channels, middle, 3, padding=1, bias=False),
            nn.BatchNorm2d(middle),
            nn.GELU(),
            nn.Conv2d(middle, channels, 3, padding=1, bias=False),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        refined: torch.Tensor = x + self.layers(x)
        return refined


class SmallTail(nn.Module):
    """Two stages of halved resolution, pooled and classified."""

    def __init__(self, latent_channels: int, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(latent_channels, 96, 3, stride=2, padding=1, bias=False),
            _Block(96, 64),
            nn.Conv2d(96, 160, 3, stride=2, padding=1, bias=False),
            _Block(160, 64),
            nn.BatchNorm2d(160),
            nn.GELU(),
        )
        self.drop = nn.Dropout(0.2)
        self.classify = nn.Linear(160, classes)

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        """Logits."""
        pooled = self.features(latent).mean(dim=(2, 3))
        logits: torch.Tensor = self.classify(self.drop(pooled))
        return logits
