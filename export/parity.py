"""Is the artifact the network? Compare its symbols with PyTorch's latents before anybody relies on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from encoders.device import DeviceEncoder
from runtime.encoder import Encoder
from runtime.errors import SplitportError

#: How far an engine's latent may lie from PyTorch's, relative to the largest latent of the picture (at least 1).
#: A symbol is right if some latent within that distance rounds to it.
TOLERANCE = {"fp32": 2e-4, "fp16": 2e-2, "bf16": 4e-2}


class ParityError(SplitportError):
    """The exported graph does not compute what the PyTorch model computes; nothing was written."""


@dataclass(frozen=True)
class Parity:
    """How an artifact compared with PyTorch, over all pictures together."""

    pictures: int
    kind: str
    """``real`` or ``drawn``."""
    agreement: float
    """Share of symbols that are equal."""
    largest_difference: float
    beyond_tolerance: int
    tolerance: float

    def fields(self) -> dict[str, object]:
        """For the manifest."""
        return asdict(self)


def measure(
    encoder: Encoder,
    eager: DeviceEncoder,
    pictures: Sequence[npt.NDArray[np.uint8]],
    kind: str,
    precision: str,
) -> Parity:
    """Run both on each picture; raise ParityError if a symbol is not a rounding of PyTorch's latent."""
    equal = total = beyond = 0
    largest = 0.0
    for pixels in pictures:
        outputs = zip(encoder.outputs(pixels), eager_latents(eager, pixels), eager.outputs, strict=True)
        for given, latent, output in outputs:
            actual = given.astype(np.float64)
            slack = TOLERANCE[precision] * max(1.0, float(np.abs(latent).max()))
            beyond += int((np.abs(actual - latent) > (0.5 if output.rounded else 0) + slack).sum())
            difference = np.abs(actual - (np.rint(latent) if output.rounded else latent))
            equal += int((difference <= (0 if output.rounded else slack)).sum())
            total += latent.size
            largest = max(largest, float(difference.max()))
    result = Parity(len(pictures), kind, equal / total, largest, beyond, TOLERANCE[precision])
    if beyond:
        raise ParityError(
            f"the exported graph differs from PyTorch: {beyond} of {total} symbols are wrong by more than "
            f"rounding (largest difference {largest:g}); nothing was written. Please report the model and target"
        )
    return result


def compare_outputs(actual: npt.NDArray[Any], expected: npt.NDArray[np.float32], precision: str) -> dict[str, object]:
    """The receiver's check: outputs within tolerance of PyTorch's, relative to the largest (at least 1)."""
    worst = float(np.abs(actual - expected).max() / max(1.0, float(np.abs(expected).max())))
    if not worst <= TOLERANCE[precision]:
        raise ParityError(f"the exported receiver differs from PyTorch by {worst:.2g}; nothing was written")
    return {"latents": len(expected), "largest_difference": worst, "tolerance": TOLERANCE[precision]}


def eager_latents(eager: DeviceEncoder, pixels: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
    """PyTorch's outputs before rounding, each of shape (channels, height, width)."""
    picture = torch.from_numpy(pixels).unsqueeze(0)
    with torch.no_grad():
        latents = eager.latents(picture.permute(0, 3, 1, 2) if eager.channels_first else picture)
    return [latent[0].numpy() for latent in latents]
