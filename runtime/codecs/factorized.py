"""The plain codec of factorized priors: every position of a channel is coded with that channel's table.

Order: one all-zero flag for each channel, then the channels that are not all zero, one after another and raster
inside, then the values that had to take an escape bin.
"""

from __future__ import annotations

from runtime import coder as coders
from runtime.codecs import Coded, checked
from runtime.coder import Symbols
from runtime.errors import UnsupportedFlags
from runtime.payload import Grid
from runtime.tables import Tables


class FactorizedCodec:
    """See :class:`runtime.codecs.Codec`."""

    def __init__(self, tables: Tables, coder: str | None = None) -> None:
        self.coder, self._coder = coders.make(coder, tables)
        self._channels = tables.channels

    def encode(self, symbols: Symbols) -> Coded:
        """See :class:`runtime.codecs.Codec`."""
        return Coded(self._coder.encode(checked(symbols, self._channels).reshape(self._channels, -1)))

    def decode(self, body: bytes, grid: Grid, plain: bool = False) -> Symbols:
        """See :class:`runtime.codecs.Codec`."""
        if plain:
            raise UnsupportedFlags("flagged as plain, but the tables it names have nothing else")
        return self._coder.decode(body, grid[0] * grid[1]).reshape(self._channels, *grid)
