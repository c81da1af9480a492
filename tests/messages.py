"""Random tables and messages for coder tests, from peaked to flat, with escapes and dead channels."""

from __future__ import annotations

import numpy as np

from runtime.tables import TOTAL, WIDEST, Tables, integer_weights


def random_tables(rng: np.random.Generator, channels: int) -> Tables:
    """Shapes a prior can take: narrow, wide, lopsided, and extreme weights of 1 and nearly all."""
    rows, lows = [], []
    for _ in range(channels):
        low, high = -int(rng.integers(1, 1 + rng.choice([1, 4, 40, WIDEST]))), int(rng.integers(1, 1 + rng.choice([1, 30])))
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


def random_symbols(rng: np.random.Generator, tables: Tables, cells: int) -> np.ndarray:
    """Mostly what the tables expect; some channels all zero, a few values far outside."""
    spread = np.exp(rng.normal(0, 1.5, (tables.channels, 1)))
    symbols = np.round(rng.laplace(0, spread, (tables.channels, cells))).astype(np.int32)
    symbols[rng.random(tables.channels) < 0.3] = 0
    far = rng.random(symbols.shape) < rng.choice([0, 0.01, 0.3])
    symbols[far] = rng.integers(-0x8000, 0x8000, int(far.sum()))
    return symbols
