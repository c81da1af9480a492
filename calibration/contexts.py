"""Contexts fitted to the symbols that an encoder puts out; see :mod:`runtime.contexts` for what they are.

For each channel two logistic regressions over the six neighbours: is a symbol zero, from magnitudes, and which sign has
one that is not, from signed values. Their weights become small integers, their sums are cut where the levels
are equally informative, and each context's table is counted and smoothed towards the channel's own. A channel keeps its
contexts if one half of the pictures says that they help with the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from runtime.contexts import CLIP, HEAVIEST, LARGEST_SUM, NEIGHBOURS, NEVER, Contexts
from runtime.tables import TOTAL, Tables, integer_weights

Symbols = npt.NDArray[np.int32]
Real = npt.NDArray[np.float64]

#: Levels of both sums. More save another percent and need more pictures.
_ACTIVITIES, _DIRECTIONS = 12, 7
#: How many observations a channel's own table is worth in each context; which of these, the data decide.
_STRENGTHS = (2.0, 8.0, 32.0, 128.0)
#: Nonzero symbols below which a channel is too quiet to say anything.
_LEAST = 64
_ROUNDS = 12
#: Smallest gain, in bits a picture, that is worth a channel's tables.
_GAIN = 0.5


@dataclass(frozen=True)
class _Channel:
    """One channel's contexts."""

    activity: npt.NDArray[np.int8]
    direction: npt.NDArray[np.int8]
    activity_steps: npt.NDArray[np.int16]
    direction_steps: npt.NDArray[np.int16]
    rows: npt.NDArray[np.uint32]


def fit(tables: Tables, pictures: Sequence[Symbols]) -> Tables:
    """The same tables with contexts; ``pictures`` are symbols (channels, height, width)."""
    fitted = [_channel(tables, c, [symbols[c] for symbols in pictures]) for c in range(tables.channels)]
    none = np.zeros(len(NEIGHBOURS), np.int8)
    never = [np.full(levels - 1, NEVER, np.int16) for levels in (_ACTIVITIES, _DIRECTIONS)]
    nothing = _Channel(none, none, never[0], never[1], np.empty((0, 0), np.uint32))
    own = [each or nothing for each in fitted]
    contexts = Contexts(
        modelled=np.array([each is not None for each in fitted], np.uint8),
        activity=np.stack([each.activity for each in own]),
        direction=np.stack([each.direction for each in own]),
        activity_steps=np.stack([each.activity_steps for each in own]),
        direction_steps=np.stack([each.direction_steps for each in own]),
        weights=np.concatenate([each.rows.ravel() for each in own]),
    )
    return replace(tables, contexts=contexts)


def _channel(tables: Tables, channel: int, planes: Sequence[Symbols]) -> _Channel | None:
    alive = [plane for plane in planes if plane.any()]  # no others are coded
    if sum(int(np.count_nonzero(plane)) for plane in alive) < _LEAST or len(alive) < 2:
        return None
    near = np.concatenate([_neighbours(plane) for plane in alive])
    values = np.concatenate([plane.ravel() for plane in alive])
    magnitudes = np.abs(near)
    activity = _small(_logistic(magnitudes, values != 0))
    nonzero = values != 0
    direction = _small(_logistic(near[nonzero], values[nonzero] > 0))
    active, directed = magnitudes @ activity.astype(np.int32), near @ direction.astype(np.int32)
    steps = (
        _steps(active, _spread(active, nonzero), _ACTIVITIES),
        _steps(directed[nonzero], np.ones(int(nonzero.sum())), _DIRECTIONS),
    )
    context = np.searchsorted(steps[0], active, side="right") * _DIRECTIONS
    context += np.searchsorted(steps[1], directed, side="right")
    bins = int(tables.bins[channel])
    index = values - int(tables.low[channel])
    index = np.where((index < 0) | (index >= bins - 1), bins - 1, index)
    own = tables.row_weights(channel).astype(np.float64) / TOTAL
    half = np.repeat(np.arange(len(alive)) % 2, alive[0].size)
    counts = np.zeros((2, _ACTIVITIES * _DIRECTIONS, bins))
    np.add.at(counts, (half, context, index), 1)

    def bits(strength: float) -> float:
        pairs = (counts, counts[::-1])
        return float(
            -sum((test * np.log2(_smoothed(seen, own, strength))).sum() for seen, test in zip(*pairs, strict=True))
        )

    strength = min(_STRENGTHS, key=bits)
    before = float(-(counts.sum(axis=(0, 1)) * np.log2(own)).sum())
    if before - bits(strength) < _GAIN * len(alive):
        return None
    table = _smoothed(counts.sum(axis=0), own, strength)
    return _Channel(activity, direction, steps[0], steps[1], np.stack([integer_weights(row) for row in table]))


def _neighbours(plane: Symbols) -> Symbols:
    """(cells, 6): what a coder sees of each symbol's neighbours."""
    height, width = plane.shape
    padded = np.pad(np.clip(plane, -CLIP, CLIP), ((2, 0), (2, 1)))
    near = [padded[2 + y : 2 + y + height, 2 + x : 2 + x + width].ravel() for y, x in NEIGHBOURS]
    return np.stack(near, axis=1)


def _logistic(inputs: Symbols, answers: npt.NDArray[np.bool_]) -> Real:
    """Weights of a logistic regression, by Newton's method; a little damped, for answers that are all the same."""
    x = np.column_stack([inputs.astype(np.float64), np.ones(len(inputs))])
    w = np.zeros(x.shape[1])
    damping = 1e-3 * len(x) * np.eye(x.shape[1]) / TOTAL + 1e-3 * np.eye(x.shape[1])
    for _ in range(_ROUNDS):
        p = 1 / (1 + np.exp(-np.clip(x @ w, -30, 30)))
        gradient = x.T @ (answers - p) - damping @ w
        hessian = (x * (p * (1 - p))[:, np.newaxis]).T @ x + damping
        step = np.linalg.solve(hessian, gradient)
        w += np.clip(step, -2, 2)
    return w[:-1]


def _small(weights: Real) -> npt.NDArray[np.int8]:
    """Integers in the same proportions."""
    small: npt.NDArray[np.int8] = np.round(weights / max(np.abs(weights).max(), 1e-9) * HEAVIEST).astype(np.int8)
    return small


def _spread(sums: npt.NDArray[np.int64], nonzero: npt.NDArray[np.bool_]) -> Real:
    """How uncertain zero or not is at each observation, by its sum."""
    total = np.bincount(sums + LARGEST_SUM, minlength=2 * LARGEST_SUM + 1)
    hits = np.bincount(sums + LARGEST_SUM, weights=nonzero, minlength=2 * LARGEST_SUM + 1)
    share = (hits + 0.5) / (total + 1)
    spread: Real = np.sqrt(share * (1 - share))[sums + LARGEST_SUM]
    return spread


def _steps(sums: npt.NDArray[np.int64], importance: Real, levels: int) -> npt.NDArray[np.int16]:
    """Sums at which the next level begins, so that all levels are equally important."""
    weight = np.cumsum(np.bincount(sums + LARGEST_SUM, weights=importance, minlength=2 * LARGEST_SUM + 1))
    edges = np.unique(np.searchsorted(weight, weight[-1] * np.arange(1, levels) / levels)) - LARGEST_SUM
    steps = np.full(levels - 1, NEVER, np.int16)
    steps[: len(edges)] = edges
    return steps


def _smoothed(count: Real, own: Real, strength: float) -> Real:
    smoothed: Real = (count + strength * own) / (count.sum(axis=-1, keepdims=True) + strength)
    return smoothed
