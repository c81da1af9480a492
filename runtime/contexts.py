"""Which table codes a symbol, given six neighbours that were coded before it: the integers of the context codec.

Two weighted sums over the neighbours, one of magnitudes (is something going on here?) and one of signed values (which
way does it point?), are cut into levels; each pair of levels is a context and has a table of its own. Everything is
small integers, so that sender and receiver agree to the bit; docs/wire-format.md states the rule.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from runtime.errors import TablesError

#: (rows, columns) from a symbol to what was coded before it, in the order of the weights.
NEIGHBOURS = ((0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0))
#: A neighbour counts as -7 to 7; one outside the picture as 0.
CLIP = 7
#: Largest weight, so that sums stay within 6 * 15 * 7.
HEAVIEST = 15
LARGEST_SUM = len(NEIGHBOURS) * HEAVIEST * CLIP
#: A step that no sum reaches: levels that a channel does not use.
NEVER = 0x7FFF
_MOST_CONTEXTS = 256
_MAGIC = b"SPC1"

Integers = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Contexts:
    """How contexts are formed, for each channel, and their tables.

    ``activity`` and ``direction`` (channels, 6) are the weights of both sums; ``activity_steps`` and
    ``direction_steps`` (channels, levels - 1) the sums at which the next level begins. ``weights`` holds the tables of
    all contexts of channel 0, then of channel 1, ...; a channel for which ``modelled`` is 0 has none, and is coded
    with its plain table.
    """

    modelled: npt.NDArray[np.uint8]
    activity: npt.NDArray[np.int8]
    direction: npt.NDArray[np.int8]
    activity_steps: npt.NDArray[np.int16]
    direction_steps: npt.NDArray[np.int16]
    weights: npt.NDArray[np.uint32]

    def __post_init__(self) -> None:
        expected = {
            "modelled": ("u1", 1), "activity": ("i1", 2), "direction": ("i1", 2), "activity_steps": ("i2", 2),
            "direction_steps": ("i2", 2), "weights": ("u4", 1),
        }  # fmt: skip
        for name, (dtype, dimensions) in expected.items():
            array = np.ascontiguousarray(getattr(self, name))
            if array.dtype != np.dtype(dtype) or array.ndim != dimensions:
                raise TablesError(f"contexts: {name} is {array.dtype}{array.shape}, not {np.dtype(dtype)}")
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        channels = len(self.modelled)
        for name in ("activity", "direction"):
            array = getattr(self, name)
            if array.shape != (channels, len(NEIGHBOURS)) or np.abs(array.astype(np.int16)).max(initial=0) > HEAVIEST:
                raise TablesError(f"contexts: {name} needs six weights from -{HEAVIEST} to {HEAVIEST} for each channel")
        for steps in (self.activity_steps, self.direction_steps):
            if len(steps) != channels or np.any(np.diff(steps.astype(np.int32), axis=1) < 0):
                raise TablesError("contexts: each channel needs its steps in rising order")
        if self.modelled.max(initial=0) > 1:
            raise TablesError("contexts: a channel is modelled (1) or not (0)")
        if self.count > _MOST_CONTEXTS:
            raise TablesError(f"contexts: {self.count} for each channel; at most {_MOST_CONTEXTS} are possible")

    @property
    def levels(self) -> tuple[int, int]:
        """How many levels both sums have."""
        return self.activity_steps.shape[1] + 1, self.direction_steps.shape[1] + 1

    @property
    def count(self) -> int:
        """Contexts of each modelled channel."""
        return self.levels[0] * self.levels[1]

    def rows(self, bins: npt.NDArray[np.uint32]) -> list[npt.NDArray[np.uint32] | None]:
        """Each channel's tables (contexts, bins), or None where it has none; ``bins`` are those of the plain tables."""
        sizes = self.count * bins.astype(np.int64) * self.modelled
        if len(bins) != len(self.modelled) or sizes.sum() != len(self.weights):
            raise TablesError("contexts: their tables do not fit the plain ones")
        ends = np.cumsum(sizes)
        return [
            self.weights[end - size : end].reshape(self.count, -1) if size else None
            for end, size in zip(ends.tolist(), sizes.tolist(), strict=True)
        ]

    def of(self, channel: int, symbols: Integers) -> Integers:
        """The context of each symbol of a channel (height, width)."""
        if not self.modelled[channel]:
            return np.zeros(symbols.shape, np.int32)
        height, width = symbols.shape
        padded = np.pad(np.clip(symbols, -CLIP, CLIP), ((2, 0), (2, 1)))
        near = [padded[2 + y : 2 + y + height, 2 + x : 2 + x + width] for y, x in NEIGHBOURS]
        return self._context(channel, np.stack(near, axis=-1).astype(np.int32))

    def at(self, channel: int, symbols: Integers, y: int, x: int) -> int:
        """The context of one symbol, for which only those before it need be known."""
        if not self.modelled[channel]:
            return 0
        width = symbols.shape[1]
        inside = [(y + dy >= 0 and 0 <= x + dx < width) for dy, dx in NEIGHBOURS]
        near = [symbols[y + dy, x + dx] if there else 0 for (dy, dx), there in zip(NEIGHBOURS, inside, strict=True)]
        return int(self._context(channel, np.clip(np.array(near, np.int32), -CLIP, CLIP)))

    def _context(self, channel: int, near: Integers) -> Integers:
        active = np.abs(near) @ self.activity[channel].astype(np.int32)
        directed = near @ self.direction[channel].astype(np.int32)
        level = np.searchsorted(self.activity_steps[channel], active, side="right")
        way = np.searchsorted(self.direction_steps[channel], directed, side="right")
        context: Integers = (level * self.levels[1] + way).astype(np.int32)
        return context

    def canonical_bytes(self) -> bytes:
        """What follows the plain tables in the byte string that names both."""
        arrays = (self.modelled, self.activity, self.direction, self.activity_steps.astype("<i2"),
                  self.direction_steps.astype("<i2"), self.weights.astype("<u4"))  # fmt: skip
        return _MAGIC + bytes(self.levels) + b"".join(a.tobytes() for a in arrays)

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """As they are stored in a bundle."""
        return {f"context_{name}": getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_arrays(cls, arrays: dict[str, npt.NDArray[np.generic]]) -> Contexts:
        """Inverse of :meth:`arrays`."""
        names = {name: f"context_{name}" for name in cls.__dataclass_fields__}
        if missing := [stored for stored in names.values() if stored not in arrays]:
            raise TablesError(f"tables lack {', '.join(missing)}")
        return cls(**{name: arrays[stored] for name, stored in names.items()})  # type: ignore[arg-type]
