"""Tables fitted to the symbols that an encoder really puts out, instead of to the prior it was trained with.

Quantisation moves symbols a little; and the prior counts each channel as if it were never quite silent, while the codec
codes only the channels that are alive. Counts over calibration pictures know both. They are smoothed towards the prior,
so that what was not seen costs little more than before, and stays possible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from calibration import contexts
from runtime.errors import UnknownName
from runtime.tables import FLAG_BOUND, TOTAL, Tables, integer_weights

Symbols = npt.NDArray[np.int32]

#: What people call the ways to code -> their names in manifests.
CODECS = {"plain": "factorized", "context": "context"}

#: How many observations the prior is worth; which of these, the data decide.
_STRENGTHS = (1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0)
#: What the prior's flag is worth, in pictures.
_FLAG_STRENGTH = 2.0


def refit(tables: Tables, pictures: Sequence[Symbols]) -> Tables:
    """New tables over the same values, medians and channels; ``pictures`` are symbols (channels, height, width)."""
    counts = [_counts(tables, symbols) for symbols in pictures]
    rows, flags = [], []
    for channel in range(tables.channels):
        prior = tables.row_weights(channel).astype(np.float64) / TOTAL
        seen = np.stack([count[channel] for count in counts])
        rows.append(integer_weights(_smoothed(seen.sum(axis=0), prior, _strength(seen, prior))))
        silent = sum(not symbols[channel].any() for symbols in pictures)
        before = tables.zero_weight[channel] / TOTAL
        share = (silent + _FLAG_STRENGTH * before) / (len(pictures) + _FLAG_STRENGTH)
        flags.append(round(float(np.clip(share, FLAG_BOUND, 1 - FLAG_BOUND)) * TOTAL))
    return replace(Tables.build(rows, tables.low, flags, tables.medians), step=tables.step)


def fitted(codec: str, tables: Tables, pictures: Sequence[Symbols], kind: str = "factorized") -> tuple[str, Tables]:
    """Tables for ``plain`` or ``context`` coding of such symbols, and the codec's name in a manifest.

    ``kind`` is the codec that the model has by itself. A hyperprior has made a table for each symbol already.
    """
    if codec not in CODECS:
        raise UnknownName("codec", codec, CODECS)
    if tables.hyper is not None:
        return kind, tables
    own = refit(tables, pictures)
    chosen = contexts.fit(own, pictures) if codec == "context" else own
    return ("affine" if kind == "affine" else CODECS[codec]), chosen


def _counts(tables: Tables, symbols: Symbols) -> list[npt.NDArray[np.float64]]:
    """How often each bin is used, the escape's last; nothing where the channel is silent, for then none is coded."""
    counts = []
    for channel in range(tables.channels):
        bins = int(tables.bins[channel])
        values = symbols[channel].ravel().astype(np.int64) - int(tables.low[channel])
        index = np.where((values < 0) | (values >= bins - 1), bins - 1, values)
        alive = bool(symbols[channel].any())
        counts.append(np.bincount(index, minlength=bins).astype(np.float64) * alive)
    return counts


def _smoothed(
    count: npt.NDArray[np.float64], prior: npt.NDArray[np.float64], strength: float
) -> npt.NDArray[np.float64]:
    mixed: npt.NDArray[np.float64] = (count + strength * prior) / (count.sum() + strength)
    return mixed


def _strength(seen: npt.NDArray[np.float64], prior: npt.NDArray[np.float64]) -> float:
    """The strength under which one half of the pictures predicts the other best."""
    halves = seen[::2].sum(axis=0), seen[1::2].sum(axis=0)

    def bits(strength: float) -> float:
        pairs = (halves, halves[::-1])
        return float(-sum((test * np.log2(_smoothed(fit, prior, strength))).sum() for fit, test in pairs))

    return min(_STRENGTHS, key=bits)
