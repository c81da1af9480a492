"""From a trained hyper-synthesis to the integers that both ends compute with.

Weights keep 15 bits of their largest, activations 16 behind the point (see :mod:`runtime.hyper`): what that rounds off
is far below the distance between two rows of the scale table, and it is rounded alike everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from encoders.registry import Window
from runtime.errors import UsageError
from runtime.hyper import FRACTION, LARGEST, SLOPE_FRACTION, Hyper, Layer
from runtime.tables import WIDEST, integer_weights

_MOST_BITS = 24
#: How many scales a row of the scale table reaches, and how many values at least.
_REACH, _LEAST = 8, 4
#: Least probability of a value, least of all values of a row together, and of the escape.
_FLOOR, _FLOORS, _ESCAPE = 2.0**-16, 2.0**-12, 2.0**-18


def fixed_point(
    synthesis: nn.Sequential,
    medians: npt.NDArray[np.float32],
    scales: torch.Tensor,
    *,
    means: bool,
    windows: Sequence[Window],
) -> Hyper:
    """The hyperprior of a network that gives the scale, and maybe the mean, of each symbol."""
    layers = []
    children = list(synthesis)
    for child, after in zip(children, [*children[1:], None], strict=True):
        if isinstance(child, (nn.Conv2d, nn.ConvTranspose2d)):
            layers.append(_layer(child, after))
        elif not isinstance(child, (nn.ReLU, nn.LeakyReLU)):
            raise UsageError(f"a hyper-synthesis with {type(child).__name__} has no integer form: use (leaky) ReLU")
    unit = 1 << (layers[-1].shift + FRACTION)
    rows = [_gaussian(float(scale)) for scale in scales]
    return Hyper(
        layers=tuple(layers),
        centre=np.rint(medians.astype(np.float64) * (1 << FRACTION)).astype(np.int32),
        thresholds=np.floor(scales[:-1].double().numpy() * unit).astype(np.int64),
        means=means,
        windows=np.array(windows, np.uint8),
        weights=np.concatenate(rows),
        bins=np.array([len(row) for row in rows], np.uint32),
    )


def _layer(layer: nn.Conv2d | nn.ConvTranspose2d, after: nn.Module | None) -> Layer:
    transposed = isinstance(layer, nn.ConvTranspose2d)
    weight = layer.weight.detach().double().numpy()
    if transposed:
        weight = weight.transpose(1, 0, 2, 3)
    if layer.groups != 1 or set(layer.dilation) != {1}:
        raise UsageError("a hyper-synthesis with groups or dilation has no integer form: use plain convolutions")
    shift = _MOST_BITS
    while True:
        rounded = np.rint(weight * (1 << shift))
        bias = np.zeros(len(weight)) if layer.bias is None else layer.bias.detach().double().numpy()
        bias = np.rint(bias * (1 << (shift + FRACTION)))
        fits = np.abs(rounded).max() < 1 << 15
        if fits and (np.abs(rounded).sum(axis=(1, 2, 3)) * LARGEST + np.abs(bias)).max() < 1 << 53:
            break
        shift -= 1
    return Layer(
        weight=np.ascontiguousarray(rounded.astype(np.int16)),
        bias=bias.astype(np.int64),
        transposed=transposed,
        stride=layer.stride[0],
        padding=cast(int, layer.padding[0]),
        output_padding=layer.output_padding[0],
        shift=shift,
        slope=_slope(after),
    )


def _slope(activation: nn.Module | None) -> int:
    if isinstance(activation, nn.ReLU):
        return 0
    slope = activation.negative_slope if isinstance(activation, nn.LeakyReLU) else 1.0
    return round(slope * (1 << SLOPE_FRACTION))


def _gaussian(scale: float) -> npt.NDArray[np.uint32]:
    """Weights of a normal distribution's rounded values around zero, and of the escape.

    Latents are not as normal as that: values far out are given more than the distribution would, so that those that
    come after all do not cost an escape.
    """
    furthest = min(max(math.ceil(_REACH * scale), _LEAST), WIDEST)
    edges = np.arange(furthest + 2, dtype=np.float64) - 0.5  # lower edges of the values 0, 1, ...
    tail = cast("npt.NDArray[np.float64]", torch.special.ndtr(-torch.from_numpy(edges) / scale).numpy())
    half = tail[1:-1] - tail[2:]
    mass = np.concatenate([half[::-1], [1 - 2 * tail[1]], half])
    floor = min(_FLOOR, _FLOORS / len(mass))
    return integer_weights(np.append(np.maximum(mass, floor), _ESCAPE))
