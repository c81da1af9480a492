"""The plain codec of factorized priors: every position of a channel is coded with that channel's table.

Order: one all-zero flag for each channel, then the channels that are not all zero, one after another and raster
inside, then the values that had to take an escape bin.
"""

from __future__ import annotations

import numpy as np

from runtime import coder as coders
from runtime.coder import Symbols
from runtime.errors import SymbolError
from runtime.payload import Grid
from runtime.tables import Tables


class FactorizedCodec:
    """See :class:`runtime.codecs.Codec`."""

    def __init__(self, tables: Tables, coder: str | None = None) -> None:
        self.coder, self._coder = coders.make(coder, tables)
        self._channels = tables.channels

    def encode(self, symbols: Symbols) -> bytes:
        """Body of symbols of shape (channels, height, width)."""
        if symbols.ndim != 3 or symbols.shape[0] != self._channels or 0 in symbols.shape:
            raise SymbolError(f"symbols of shape {symbols.shape} do not fit tables of {self._channels} channels")
        if symbols.dtype.kind not in "iu":
            raise SymbolError(f"symbols must be integers, not {symbols.dtype}")
        if symbols.dtype != np.int32:
            if symbols.min() < -(1 << 31) or symbols.max() >= 1 << 31:
                raise SymbolError("a symbol is outside 16 bits; the latent of this picture cannot be coded")
            symbols = symbols.astype(np.int32)
        return self._coder.encode(symbols.reshape(self._channels, -1))

    def decode(self, body: bytes, grid: Grid) -> Symbols:
        """Symbols of shape (channels, height, width)."""
        return self._coder.decode(body, grid[0] * grid[1]).reshape(self._channels, *grid)
