"""What every split model offers to the rest of the project."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from encoders import prior, settle
from encoders.costs import count_macs
from encoders.prior import Prior
from runtime.errors import UsageError
from runtime.payload import Grid
from runtime.tables import Tables


@dataclass(frozen=True)
class Task:
    """What a receiver is for, where it is not the paper's own: its classes, and which network finds them."""

    classes: tuple[str, ...]
    tail: str = "small"
    """``small``, for demonstrations, or what the model's file calls the paper's."""


@dataclass(frozen=True)
class Output:
    """What a device's graph makes of one output of the encoder: ``(y - centre) / step``, rounded or left real."""

    centre: npt.NDArray[np.float32]
    """For each channel."""
    step: float = 1.0
    rounded: bool = True


class SplitModel(nn.Module):
    """An encoder for the device, tables for the coder, and a receiver for the server.

    ``encoder_keys`` and ``receiver_keys`` say which state-dict prefixes each side needs, so that a file with the
    encoder alone serves the device.
    """

    encoder_keys: tuple[str, ...]
    receiver_keys: tuple[str, ...]
    class_names: tuple[str, ...]

    @property
    @abstractmethod
    def encoder(self) -> nn.Module:
        """From a normalised picture (N, 3, H, W) to the latent (N, C, h, w), or to a tuple that begins with it."""

    @property
    def prior(self) -> Prior:
        """Distribution of each latent channel, where the model has a factorized prior."""
        raise UsageError(f"{type(self).__name__} has no factorized prior; its file must say what to do without one")

    @abstractmethod
    def receive(self, latent: torch.Tensor) -> torch.Tensor:
        """From the quantised latent to the task's output."""

    @property
    def outputs(self) -> tuple[Output, ...]:
        """One for each output of the encoder, the latent's first."""
        return (Output(prior.medians(self.prior)),)

    def tables(self, grid: Grid) -> Tables:
        """Integer tables for a latent of this grid."""
        return prior.tables(self.prior, grid[0] * grid[1])

    def further_shapes(self, grid: Grid) -> list[tuple[int, int, int]]:
        """Of the outputs behind the first, for a latent of this grid."""
        return []

    @property
    def shipped(self) -> nn.Module:
        """What a sender must have, which is what parameters and bits are counted over."""
        return self.encoder

    def macs(self, size: int) -> int:
        """Multiply-accumulates of what is shipped, for a picture of this side."""
        return count_macs(self.encoder, torch.zeros(1, 3, size, size))

    @property
    def last(self) -> Sequence[nn.Conv2d]:
        """Convolutions whose sum is the latent."""
        layers = self.encoder
        if not isinstance(layers, nn.Sequential) or not isinstance(layers[-1], nn.Conv2d):
            raise UsageError(
                f"{type(self).__name__} does not say which convolutions its latent comes from, which seeded weights "
                "depend on: give it a property `last`, or give a checkpoint"
            )
        return [layers[-1]]

    def side_channel(self, size: int) -> int:
        """Bytes that a receiver needs beside each payload of a picture of this side."""
        return 0

    def notes(self, size: int) -> tuple[str, ...]:
        """What a person should know who exports the encoder for pictures of this side."""
        return ()

    def settle(self, pictures: torch.Tensor) -> None:
        """Make fresh layers put out what trained ones would, and the prior expect it; pictures are normalised."""
        centre, spread = settle.scale(self.last, self.encoder(pictures))
        settle.fit(self.prior, centre, spread)

    def translate(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """A checkpoint's tensors by the names that this model has for them; a family knows how its own files vary."""
        return state

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
