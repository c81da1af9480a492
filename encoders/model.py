"""What every split model offers to the rest of the project."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn


@dataclass(frozen=True)
class Task:
    """What a receiver is for, where it is not the paper's own: its classes, and which network finds them."""

    classes: tuple[str, ...]
    tail: str = "small"
    """``small``, for demonstrations, or what the model's file calls the paper's."""


class Prior(Protocol):
    """A factorized prior: a cumulative distribution and a median for each latent channel."""

    channels: int
    quantiles: nn.Parameter

    def _logits_cumulative(self, inputs: torch.Tensor, stop_gradient: bool) -> torch.Tensor: ...


class SplitModel(nn.Module):
    """An encoder for the device, a prior for the coder, and a receiver for the server.

    ``encoder_keys`` and ``receiver_keys`` say which state-dict prefixes each side needs, so that a file with the
    encoder alone serves the device.
    """

    encoder_keys: tuple[str, ...]
    receiver_keys: tuple[str, ...]
    class_names: tuple[str, ...]

    @property
    @abstractmethod
    def encoder(self) -> nn.Sequential:
        """From a normalised picture (N, 3, H, W) to the latent (N, C, h, w)."""

    @property
    @abstractmethod
    def prior(self) -> Prior:
        """Distribution of each latent channel."""

    @abstractmethod
    def receive(self, latent: torch.Tensor) -> torch.Tensor:
        """From the quantised latent to the task's output."""

    def adopt(self, state: dict[str, torch.Tensor]) -> None:
        """Go on from trained weights; a model may know how to start from a smaller one's."""
        self.load_state_dict(state)


class StagedModel(SplitModel):
    """A model whose receiver goes on as a known network, which can therefore start it off and teach it."""

    @property
    @abstractmethod
    def tail(self) -> list[str]:
        """Names of the submodules that are the known network's own."""

    @abstractmethod
    def stages(self, latent: torch.Tensor) -> list[torch.Tensor]:
        """What the known network's stages put out; the first is rebuilt from the latent."""

    @abstractmethod
    def classify(self, features: torch.Tensor) -> torch.Tensor:
        """From the last stage to logits."""

    def receive(self, latent: torch.Tensor) -> torch.Tensor:
        """See :class:`SplitModel`."""
        return self.classify(self.stages(latent)[-1])
