"""A small receiver for demonstrations: from the quantised latent to class logits, with about 1.3 million parameters.

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
            nn.Conv2d(latent_channels, 128, 3, stride=2, padding=1, bias=False),
            _Block(128, 128),
            nn.Conv2d(128, 256, 3, stride=2, padding=1, bias=False),
            _Block(256, 128),
            nn.BatchNorm2d(256),
            nn.GELU(),
        )
        self.drop = nn.Dropout(0.2)
        self.classify = nn.Linear(256, classes)

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        """Logits."""
        pooled = self.features(latent).mean(dim=(2, 3))
        logits: torch.Tensor = self.classify(self.drop(pooled))
        return logits
