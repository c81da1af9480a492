"""Integer probability tables: the one thing that sender and receiver must share to the bit.

A table is a list of positive integer weights of sum 2^24 over the values ``low .. high`` and, last, one *escape* bin
for every other value. Tables are made once, at export, and stored as integers; nothing here or on a receiver
rebuilds them from floating-point numbers, because two machines' ``exp`` differ in the last bit and one differing
weight desynchronises a whole stream.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.contexts import Contexts
from runtime.errors import TablesError
from runtime.hyper import Hyper

PRECISION = 24
TOTAL = 1 << PRECISION
#: Furthest value that gets a bin of its own; a table is then at most 4,096 bins wide.
WIDEST = 2047
ID_BYTES = 4
#: Least probability of either value of an all-zero flag, for those who make tables: it bounds a flag's cost at 8 bits.
FLAG_BOUND = 2.0**-8
_MAGIC = b"SPT1"
_STEP_MAGIC = b"SPQ1"
_ONE = np.float32(1)


def integer_weights(probabilities: npt.ArrayLike) -> npt.NDArray[np.uint32]:
    """Turn probabilities into integer weights of sum 2^24, each at least 1.

    Rounding down leaves a remainder, which goes to the likeliest bin: there it costs the least.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 1 or p.size < 2 or p.size > TOTAL // 2:
        raise TablesError(f"a table needs a list of at least two probabilities, not shape {p.shape}")
    if not np.all(np.isfinite(p)) or np.any(p < 0) or p.sum() <= 0:
        raise TablesError("probabilities must be finite, not negative, and not all zero")
    weights: npt.NDArray[np.int64] = np.maximum(np.floor(p / p.sum() * TOTAL), 1).astype(np.int64)
    weights[np.argmax(weights)] += TOTAL - weights.sum()
    if weights.min() < 1:
        raise TablesError(f"{p.size} bins do not fit into weights of sum 2^{PRECISION}")
    return weights.astype(np.uint32)


@dataclass(frozen=True, eq=False)
class Tables:
    """The tables of one model: for each channel its bins, its all-zero flag and its median.

    ``weights`` holds all channels' bins one after another; channel ``c`` has ``bins[c]`` of them, the first standing
    for ``low[c]``, the last for the escape. ``zero_weight[c]`` is the weight, of 2^24, of "channel c is all zero".
    ``medians[c]`` is what a receiver adds to a symbol to get the latent.
    """

    weights: npt.NDArray[np.uint32]
    bins: npt.NDArray[np.uint32]
    low: npt.NDArray[np.int32]
    zero_weight: npt.NDArray[np.uint32]
    medians: npt.NDArray[np.float32]
    contexts: Contexts | None = None
    """Further tables of each channel, for the context codec; the plain ones stay beside them."""
    step: np.float32 = _ONE
    """What the difference of one between two symbols means in the latent."""
    hyper: Hyper | None = None
    """For the hyperprior codec, whose plain tables are those of the hyper symbols: what it makes of these."""

    def __post_init__(self) -> None:
        expected = {"weights": "u4", "bins": "u4", "low": "i4", "zero_weight": "u4", "medians": "f4"}
        for name, dtype in expected.items():
            array = np.ascontiguousarray(getattr(self, name))
            if array.dtype != np.dtype(dtype) or array.ndim != 1:
                raise TablesError(f"{name} must be a flat array of {np.dtype(dtype)}, not {array.dtype}{array.shape}")
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        self._check()

    def _check(self) -> None:
        channels = self.channels
        if not 1 <= channels <= 0xFFFF:
            raise TablesError(f"tables for {channels} channels; 1 to 65535 are possible")
        if not len(self.low) == len(self.zero_weight) == len(self.medians) == channels:
            raise TablesError("low, zero_weight and medians need one entry for each channel")
        if int(self.bins.astype(np.int64).sum()) != len(self.weights):
            raise TablesError(f"{len(self.weights)} weights for {int(self.bins.sum())} bins")
        high = self.low.astype(np.int64) + self.bins - 2
        if self.low.min() < -WIDEST or high.max() > WIDEST or self.low.max() > -1 or high.min() < 1:
            raise TablesError(f"each table must cover at least [-1, 1] and at most [-{WIDEST}, {WIDEST}]")
        starts = self.row[:-1]
        if self.weights.min() < 1 or np.any(np.add.reduceat(self.weights.astype(np.int64), starts) != TOTAL):
            raise TablesError(f"each table's weights must be at least 1 and sum to 2^{PRECISION}")
        if self.zero_weight.min() < 1 or self.zero_weight.max() >= TOTAL:
            raise TablesError(f"all-zero weights must lie between 1 and 2^{PRECISION} - 1")
        if not np.all(np.isfinite(self.medians)):
            raise TablesError("medians must be finite")
        if not (np.isfinite(self.step) and self.step > 0 and isinstance(self.step, np.float32)):
            raise TablesError(f"the step between symbols must be a positive float32, not {self.step!r}")
        _ = self.scales  # which are tables, and refuse what tables refuse
        for row in self.context_rows:
            if row is not None and (row.min() < 1 or np.any(row.sum(axis=1, dtype=np.int64) != TOTAL)):
                raise TablesError(f"each context's weights must be at least 1 and sum to 2^{PRECISION}")

    @cached_property
    def scales(self) -> Tables | None:
        """The tables of a hyperprior's rows, each around zero; their flags and medians mean nothing."""
        if self.hyper is None:
            return None
        bins = self.hyper.bins.astype(np.int64)
        rows = np.split(self.hyper.weights, np.cumsum(bins)[:-1])
        return Tables.build(rows, (1 - bins // 2).astype(np.int32), [TOTAL // 2] * len(rows))

    @classmethod
    def build(
        cls,
        rows: Sequence[npt.ArrayLike],
        low: Sequence[int] | npt.NDArray[np.int32],
        zero_weight: Sequence[int] | npt.NDArray[np.uint32],
        medians: Sequence[float] | npt.NDArray[np.float32] | None = None,
    ) -> Tables:
        """Make tables from one list of weights (escape last) for each channel."""
        arrays = [np.asarray(row, dtype=np.uint32) for row in rows]
        return cls(
            weights=np.concatenate(arrays),
            bins=np.array([len(a) for a in arrays], np.uint32),
            low=np.asarray(low, dtype=np.int32),
            zero_weight=np.asarray(zero_weight, dtype=np.uint32),
            medians=np.zeros(len(arrays), np.float32) if medians is None else np.asarray(medians, np.float32),
        )

    @property
    def channels(self) -> int:
        """Number of channels, each with a table of its own."""
        return len(self.bins)

    @cached_property
    def row(self) -> npt.NDArray[np.int64]:
        """Where each channel's weights begin, and after the last one where they end."""
        return np.concatenate([[0], np.cumsum(self.bins.astype(np.int64))])

    @cached_property
    def context_rows(self) -> list[npt.NDArray[np.uint32] | None]:
        """The tables (contexts, bins) of each channel that has contexts."""
        return self.contexts.rows(self.bins) if self.contexts else [None] * self.channels

    def row_weights(self, channel: int) -> npt.NDArray[np.uint32]:
        """The weights of one channel, escape last."""
        return self.weights[self.row[channel] : self.row[channel + 1]]

    def charge(self, symbols: npt.NDArray[np.int32], rows: npt.NDArray[Any] | None = None) -> float:
        """Bits that the prior alone charges for symbols (channels, ...): no flags, no coder, 16 more for an escape.

        ``rows`` names another table than its channel's for each symbol.
        """
        if rows is None:
            rows = np.arange(self.channels).reshape(-1, *[1] * (symbols.ndim - 1))
        values = symbols.astype(np.int64) - self.low[rows]
        escape = self.bins.astype(np.int64)[rows] - 1
        escaped = (values < 0) | (values >= escape)
        bins = np.where(escaped, escape, values) + self.row[:-1][rows]
        return float(-np.log2(self.weights[bins] / TOTAL).sum() + 16 * escaped.sum())

    def latent(self, symbols: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """What symbols (channels, height, width) stand for."""
        return symbols.astype(np.float32) * self.step + self.medians[:, np.newaxis, np.newaxis]

    def canonical_bytes(self) -> bytes:
        """The byte string that names these tables; docs/wire-format.md has its layout."""
        head = _MAGIC + struct.pack("<H", self.channels)
        arrays = (self.low.astype("<i2"), self.bins.astype("<u2"), self.zero_weight.astype("<u4"))
        plain = b"".join(a.tobytes() for a in (*arrays, self.medians.astype("<f4"), self.weights.astype("<u4")))
        step = _STEP_MAGIC + self.step.astype("<f4").tobytes() if self.step != 1 else b""
        more = [part.canonical_bytes() for part in (self.contexts, self.hyper) if part is not None]
        return head + plain + b"".join([step, *more])

    @cached_property
    def sha256(self) -> str:
        """Digest of the canonical bytes, in hexadecimal."""
        return hashlib.sha256(self.canonical_bytes()).hexdigest()

    @property
    def id(self) -> bytes:
        """The four bytes by which a payload says which tables it was coded with."""
        return bytes.fromhex(self.sha256)[:ID_BYTES]

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """The arrays as they are stored in a bundle."""
        names = ("weights", "bins", "low", "zero_weight", "medians")
        own: dict[str, npt.NDArray[np.generic]] = {name: getattr(self, name) for name in names}
        if self.step != 1:
            own["step"] = np.array([self.step])
        for part in (self.contexts, self.hyper):
            own |= part.arrays() if part else {}
        return own

    @classmethod
    def from_arrays(cls, arrays: dict[str, npt.NDArray[np.generic]]) -> Tables:
        """Inverse of :meth:`arrays`; anything missing or of the wrong type is a TablesError."""
        names = ("weights", "bins", "low", "zero_weight", "medians")
        if missing := [name for name in names if name not in arrays]:
            raise TablesError(f"tables lack {', '.join(missing)}")
        contexts = Contexts.from_arrays(arrays) if any(name.startswith("context_") for name in arrays) else None
        hyper = Hyper.from_arrays(arrays) if any(name.startswith("hyper_") for name in arrays) else None
        step = arrays.get("step", np.ones(1, np.float32))
        if step.dtype != np.float32 or step.shape != (1,):
            raise TablesError(f"the step between symbols must be one float32, not {step.dtype}{step.shape}")
        plain: dict[str, Any] = {name: arrays[name] for name in names}
        return cls(**plain, contexts=contexts, step=step[0], hyper=hyper)
