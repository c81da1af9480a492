"""Random tables and messages for coder tests, from peaked to flat, with escapes and dead channels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from runtime.coder.reference import ReferenceCoder, _Receiver
from runtime.contexts import HEAVIEST, NEVER, Contexts
from runtime.hyper import Hyper, Layer
from runtime.tables import TOTAL, WIDEST, Tables, integer_weights


def random_tables(rng: np.random.Generator, channels: int) -> Tables:
    """Shapes a prior can take: narrow, wide, lopsided, and extreme weights of 1 and nearly all."""
    rows, lows = [], []
    for _ in range(channels):
        low, high = (
            -int(rng.integers(1, 1 + rng.choice([1, 4, 40, WIDEST]))),
            int(rng.integers(1, 1 + rng.choice([1, 30]))),
        )
        kind = rng.integers(4)
        size = high - low + 2
        if kind == 0:  # one bin takes all but the least
            row = np.ones(size, np.int64)
            row[rng.integers(size)] += TOTAL - size
        elif kind == 1:
            row = integer_weights(rng.random(size) + 1e-3)
        else:
            values = np.arange(low, high + 1)
            spread = np.exp(rng.normal(0, 1.5))
            row = integer_weights(np.append(np.exp(-np.abs(values - rng.normal()) / spread), 2.0**-20))
        rows.append(row)
        lows.append(low)
    return Tables.build(rows, lows, rng.integers(1, TOTAL, channels), rng.normal(size=channels))


def random_contexts(rng: np.random.Generator, tables: Tables, most: tuple[int, int] = (12, 8)) -> Tables:
    """The same with contexts: any weights, any steps, tables of any shape, some channels without."""
    channels = tables.channels
    levels = tuple(rng.integers(1, np.array(most) + 1).tolist())
    modelled = (rng.random(channels) < 0.8).astype(np.uint8)
    steps = [np.sort(rng.integers(-200, 200, (channels, n - 1)), axis=1) for n in levels]
    for own in steps:
        own[rng.random(own.shape) < 0.1] = NEVER
        own.sort(axis=1)
    rows = []
    for channel in np.flatnonzero(modelled).tolist():
        bins = int(tables.bins[channel])
        for _ in range(levels[0] * levels[1]):
            rows.append(integer_weights(rng.dirichlet(np.full(bins, rng.choice([0.05, 1.0]))) + 1e-9))
    contexts = Contexts(
        modelled,
        rng.integers(-HEAVIEST, HEAVIEST + 1, (channels, 6)).astype(np.int8),
        rng.integers(-HEAVIEST, HEAVIEST + 1, (channels, 6)).astype(np.int8),
        steps[0].astype(np.int16),
        steps[1].astype(np.int16),
        np.concatenate(rows) if rows else np.empty(0, np.uint32),
    )
    return replace(tables, contexts=contexts)


def random_symbols(rng: np.random.Generator, tables: Tables, cells: int) -> np.ndarray:
    """Mostly what the tables expect; some channels all zero, a few values far outside."""
    spread = np.exp(rng.normal(0, 1.5, (tables.channels, 1)))
    symbols = np.round(rng.laplace(0, spread, (tables.channels, cells))).astype(np.int32)
    symbols[rng.random(tables.channels) < 0.3] = 0
    far = rng.random(symbols.shape) < rng.choice([0, 0.01, 0.3])
    symbols[far] = rng.integers(-0x8000, 0x8000, int(far.sum()))
    return symbols


def walk_along_zeros(tables: Tables, first_byte: int, length: int) -> np.ndarray:
    """Bins of one channel that hug a number of one byte and then zeros: its interval straddles a word boundary."""
    coder = ReferenceCoder(tables)
    receiver = _Receiver(bytes([first_byte]))
    receiver.get(1, coder._flags[0])
    bins = receiver.get(length, coder._rows[0])
    return np.minimum(bins, int(tables.bins[0]) - 2)  # no escapes


def flipped_words(tables: Tables, bins: list[int]) -> int:
    """Longest run of finished words that one carry turns over when these bins follow a live flag, 0 if none does."""
    low, span, words, longest = 0, (1 << 64) - 1, [], 0
    zero = int(tables.zero_weight[0])
    cumulative = [0, *np.cumsum(tables.row_weights(0).astype(object))]
    steps = [(0, TOTAL - zero)] + [(cumulative[b], cumulative[b + 1] - cumulative[b]) for b in bins]
    for left, weight in steps:
        scale = span >> 24
        low, span = low + scale * left, scale * weight
        if low >> 64:
            low -= 1 << 64
            run = next((i for i, w in enumerate(reversed(words)) if w != 0xFFFFFFFF), len(words))
            words = words[: len(words) - run - 1] + [words[-run - 1] + 1] + [0] * run
            longest = max(longest, run + 1)
        if span < 1 << 32:
            words, low, span = [*words, low >> 32], (low << 32) & ((1 << 64) - 1), span << 32
    return longest


def random_hyper(rng: np.random.Generator, hyper_channels: int, channels: int, means: bool) -> Hyper:
    """A hyper-synthesis of one transposed convolution and one convolution, to twice the grid; four rows."""

    def weight(out: int, given: int, kernel: int) -> np.ndarray:
        return rng.integers(-12000, 12000, (out, given, kernel, kernel)).astype(np.int16)

    last = 2 * channels if means else channels
    layers = (
        Layer(weight(5, hyper_channels, 5), rng.integers(-1 << 28, 1 << 28, 5), True, 2, 2, 1, 14, 167772),
        Layer(weight(last, 5, 3), rng.integers(-1 << 28, 1 << 28, last), False, 1, 1, 0, 14, 1 << 24),
    )
    sums = layers[1].sums(layers[0](rng.integers(-3 << 16, 3 << 16, (hyper_channels, 4, 4))))[:channels]
    rows = [[1 << 18, TOTAL - (1 << 19) - 64, 1 << 18, 64]]
    for reach in (2, 5, 12):
        rows.append([TOTAL // (2 * reach + 2)] * (2 * reach + 1))
        rows[-1].append(TOTAL - sum(rows[-1]))
    return Hyper(
        layers=layers,
        centre=rng.integers(-30000, 30000, hyper_channels).astype(np.int32),
        thresholds=np.quantile(sums, [0.25, 0.5, 0.75]).astype(np.int64),
        means=means,
        windows=np.array([[5, 2, 2]], np.uint8),
        weights=np.concatenate(rows).astype(np.uint32),
        bins=np.array([len(row) for row in rows], np.uint32),
    )
