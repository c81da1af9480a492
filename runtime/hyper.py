"""What a hyperprior makes of its hyper symbols: for each symbol of the latent the table that codes it, and its mean.

Sender and receiver must come to the same table for every symbol, or everything after the first difference is noise.
Convolutions in floating point cannot promise that: another engine, CPU or thread count adds up in another order. Here
the network is in integers: activations in 65536ths, weights rounded to 16 bits at export. Its matrix products run in
float64, where sums of integers below 2^53 are exact in whatever order they are added, and fast everywhere;
:class:`Layer` refuses weights that could exceed that. ``docs/wire-format.md`` states the arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from runtime.errors import TablesError
from runtime.payload import Grid

#: Fractional bits of activations, and of slopes.
FRACTION, SLOPE_FRACTION = 16, 24
#: Activations are cut off here: at 4096 in either direction.
LARGEST = 1 << 28
_EXACT = 1 << 53
_MAGIC = b"SPH1"

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Layer:
    """A convolution, or a transposed one, and a leaky ReLU, all in integers.

    ``weight`` is (out, in, k, k) for both kinds, in units of 2^-``shift``; ``bias`` in the units of the sums. Negative
    results are multiplied by ``slope`` / 2^24.
    """

    weight: npt.NDArray[np.int16]
    bias: Integers
    transposed: bool
    stride: int
    padding: int
    output_padding: int
    shift: int
    slope: int

    def __post_init__(self) -> None:
        if self.weight.ndim != 4 or self.weight.shape[2] != self.weight.shape[3] or 0 in self.weight.shape:
            raise TablesError(f"hyper: weights of shape {self.weight.shape}")
        if self.bias.shape != self.weight.shape[:1]:
            raise TablesError(f"hyper: {self.bias.size} offsets for {self.weight.shape[0]} channels")
        # In float64: whatever a file holds, this must not wrap around.
        largest = np.abs(self.weight.astype(np.float64)).sum(axis=(1, 2, 3)) * LARGEST + np.abs(self.bias.astype(float))
        if largest.max() >= _EXACT:
            raise TablesError("hyper: sums of a layer could exceed 53 bits")
        limits = ((self.stride, 1, 8), (self.padding, 0, 8), (self.output_padding, 0, 7), (self.shift, 0, 30))
        if not all(low <= value <= high for value, low, high in limits) or not 0 <= self.slope <= 1 << SLOPE_FRACTION:
            raise TablesError("hyper: a layer has a stride, padding, shift or slope that is not possible")

    def size(self, side: int) -> int:
        """Height or width of the result."""
        kernel = int(self.weight.shape[2])
        if self.transposed:
            return (side - 1) * self.stride - 2 * self.padding + kernel + self.output_padding
        return (side + 2 * self.padding - kernel) // self.stride + 1

    def sums(self, x: Integers) -> Integers:
        """Before the shift: (in, height, width) to (out, height, width)."""
        grid = self.size(x.shape[1]), self.size(x.shape[2])
        exact = self._spread(x, grid) if self.transposed else self._gather(x, grid)
        return exact.astype(np.int64) + self.bias[:, np.newaxis, np.newaxis]

    def __call__(self, x: Integers) -> Integers:
        """Activations to activations."""
        y = shifted(self.sums(x), self.shift)
        y = np.where(y < 0, shifted(y * self.slope, SLOPE_FRACTION), y)
        return np.clip(y, -LARGEST, LARGEST)

    @cached_property
    def _matrix(self) -> npt.NDArray[np.float64]:
        out = self.weight.shape[0]
        if self.transposed:  # (out * k * k, in)
            return np.ascontiguousarray(self.weight.transpose(0, 2, 3, 1).reshape(-1, self.weight.shape[1]), np.float64)
        return self.weight.reshape(out, -1).astype(np.float64)

    def _gather(self, x: Integers, grid: Grid) -> npt.NDArray[np.float64]:
        p, s, k = self.padding, self.stride, self.weight.shape[2]
        padded = np.pad(x.astype(np.float64), ((0, 0), (p, p), (p, p)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(1, 2))[:, ::s, ::s]
        columns = windows.transpose(0, 3, 4, 1, 2).reshape(self._matrix.shape[1], -1)
        product: npt.NDArray[np.float64] = (self._matrix @ columns).reshape(-1, *grid)
        return product

    def _spread(self, x: Integers, grid: Grid) -> npt.NDArray[np.float64]:
        out, _, k, _ = self.weight.shape
        p, s, (height, width) = self.padding, self.stride, x.shape[1:]
        parts = (self._matrix @ x.reshape(len(x), -1).astype(np.float64)).reshape(out, k, k, height, width)
        whole = np.zeros((out, (height - 1) * s + k + self.output_padding, (width - 1) * s + k + self.output_padding))
        for i in range(k):
            for j in range(k):
                whole[:, i : i + (height - 1) * s + 1 : s, j : j + (width - 1) * s + 1 : s] += parts[:, i, j]
        return whole[:, p : p + grid[0], p : p + grid[1]]


def shifted(sums: Integers, bits: int) -> Integers:
    """Divided by 2^bits, halves rounded up."""
    return (sums + (1 << bits >> 1)) >> bits


@dataclass(frozen=True, eq=False)
class Hyper:
    """From hyper symbols to the row of the scale tables, and the mean, of each symbol."""

    layers: tuple[Layer, ...]
    centre: npt.NDArray[np.int32]
    """What a hyper symbol of zero stands for, for each hyper channel, in 65536ths."""
    thresholds: Integers
    """Sums of the last layer above which the next row begins."""
    means: bool
    """Whether the second half of the last layer's channels are means; they are zero where not."""
    windows: npt.NDArray[np.uint8]
    """(kernel, stride, padding) of each convolution between the latent and the hyper latent."""
    weights: npt.NDArray[np.uint32]
    """Tables of all rows, one after another, each around zero with its escape last; see :attr:`Tables.scales`."""
    bins: npt.NDArray[np.uint32]

    def __post_init__(self) -> None:
        rows = len(self.bins)
        last = self.layers[-1].weight.shape[0] if self.layers else 0
        widths = [self.centre.size, *(layer.weight.shape[0] for layer in self.layers)]
        if any(layer.weight.shape[1] != width for layer, width in zip(self.layers, widths, strict=False)):
            raise TablesError("hyper: a layer does not fit the one before it")
        if not last or (self.means and last % 2):
            raise TablesError("hyper: no layers, or an odd number of scales and means")
        if not 1 <= rows <= 256 or len(self.thresholds) != rows - 1 or np.any(np.diff(self.thresholds) < 0):
            raise TablesError("hyper: each row but the first needs the sum above which it begins, in rising order")
        if np.any(self.bins % 2) or int(self.bins.astype(np.int64).sum()) != len(self.weights):
            raise TablesError("hyper: rows need as many values below zero as above it, and an escape")
        if self.windows.ndim != 2 or self.windows.shape[1] != 3 or np.any(self.windows[:, :2] < 1):
            raise TablesError("hyper: each convolution needs a kernel, a stride and a padding")

    @property
    def channels(self) -> int:
        """Channels of the latent."""
        return int(self.layers[-1].weight.shape[0]) // (2 if self.means else 1)

    def grid(self, latent: Grid) -> Grid:
        """Height and width of the hyper latent behind a latent of this grid; TablesError where there is none."""
        height, width = latent
        for kernel, stride, padding in self.windows.astype(int).tolist():
            height, width = ((side + 2 * padding - kernel) // stride + 1 for side in (height, width))
        back = height, width
        for layer in self.layers:
            back = layer.size(back[0]), layer.size(back[1])
        if back != latent or min(height, width) < 1:
            raise TablesError(f"hyper: no hyper latent belongs to a latent of {latent[0]}x{latent[1]}")
        return height, width

    def synthesise(self, symbols: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        """Rows and means (channels, height, width) from hyper symbols (hyper channels, height, width)."""
        x = (symbols.astype(np.int64) << FRACTION) + self.centre[:, np.newaxis, np.newaxis]
        x = np.clip(x, -LARGEST, LARGEST)
        for layer in self.layers[:-1]:
            x = layer(x)
        sums = self.layers[-1].sums(x)
        scales = sums[: self.channels]
        rows = np.searchsorted(self.thresholds, scales, side="left").astype(np.uint8)
        if not self.means:
            return rows, np.zeros(scales.shape, np.float32)
        means = np.clip(shifted(sums[self.channels :], self.layers[-1].shift), -LARGEST, LARGEST)
        # An integer over a power of two, rounded once to float32: every machine does that alike.
        return rows, (means / (1 << FRACTION)).astype(np.float32)

    def canonical_bytes(self) -> bytes:
        """What follows the plain tables in the byte string that names both."""
        arrays = self.arrays()
        return _MAGIC + b"".join(np.ascontiguousarray(arrays[name]).tobytes() for name in sorted(arrays))

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """As they are stored in a bundle, little endian."""
        own: dict[str, npt.NDArray[np.generic]] = {
            "hyper_centre": self.centre.astype("<i4"),
            "hyper_thresholds": self.thresholds.astype("<i8"),
            "hyper_means": np.array([self.means], np.uint8),
            "hyper_windows": self.windows.astype(np.uint8),
            "hyper_weights": self.weights.astype("<u4"),
            "hyper_bins": self.bins.astype("<u4"),
        }
        for i, layer in enumerate(self.layers):
            own[f"hyper_layer{i}_weight"] = layer.weight.astype("<i2")
            own[f"hyper_layer{i}_bias"] = layer.bias.astype("<i8")
            own[f"hyper_layer{i}_how"] = np.array(
                [layer.transposed, layer.stride, layer.padding, layer.output_padding, layer.shift, layer.slope], "<i4"
            )
        return own

    @classmethod
    def from_arrays(cls, arrays: dict[str, npt.NDArray[np.generic]]) -> Hyper:
        """Inverse of :meth:`arrays`; anything missing or of the wrong type is a TablesError."""

        def take(name: str, dtype: str, dimensions: int) -> npt.NDArray[np.generic]:
            array = arrays.get(f"hyper_{name}")
            if array is None or array.dtype != np.dtype(dtype) or array.ndim != dimensions:
                raise TablesError(f"tables lack hyper_{name}, or it is of the wrong type")
            return array

        return cls(
            layers=_layers(take, sum(name.startswith("hyper_layer") and name.endswith("_how") for name in arrays)),
            centre=take("centre", "i4", 1),  # type: ignore[arg-type]
            thresholds=take("thresholds", "i8", 1),  # type: ignore[arg-type]
            means=bool(take("means", "u1", 1)[:1].any()),
            windows=take("windows", "u1", 2),  # type: ignore[arg-type]
            weights=take("weights", "u4", 1),  # type: ignore[arg-type]
            bins=take("bins", "u4", 1),  # type: ignore[arg-type]
        )


def _layers(take, count: int) -> tuple[Layer, ...]:  # type: ignore[no-untyped-def]
    made = []
    for i in range(count):
        how: Sequence[int] = take(f"layer{i}_how", "i4", 1).tolist()
        if len(how) != 6:
            raise TablesError(f"hyper: layer {i} is described by {len(how)} numbers, not 6")
        weight, bias = take(f"layer{i}_weight", "i2", 4), take(f"layer{i}_bias", "i8", 1)
        made.append(Layer(weight, bias, bool(how[0]), *how[1:]))
    return tuple(made)
