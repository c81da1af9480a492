"""The context codec: a symbol's table depends on what was coded around it.

For each picture the plain codec is used instead where that is shorter, so that pictures unlike those the contexts were
fitted to cost no more than before.
"""

from __future__ import annotations

from runtime import coder as coders
from runtime.codecs import Coded, checked
from runtime.coder import Symbols
from runtime.errors import TablesError
from runtime.payload import Grid
from runtime.tables import Tables


class ContextCodec:
    """See :class:`runtime.codecs.Codec`."""

    def __init__(self, tables: Tables, coder: str | None = None) -> None:
        if tables.contexts is None:
            raise TablesError("these tables have no contexts; export the bundle again")
        self.coder, self._context = coders.make_context(coder, tables)
        _, self._plain = coders.make(self.coder, tables)
        self._channels = tables.channels

    def encode(self, symbols: Symbols) -> Coded:
        """See :class:`runtime.codecs.Codec`."""
        symbols = checked(symbols, self._channels)
        body, plain_at_least = self._context.encode(symbols)
        if plain_at_least <= len(body):
            plain = self._plain.encode(symbols.reshape(self._channels, -1))
            if len(plain) < len(body):
                return Coded(plain, plain=True)
        return Coded(body)

    def decode(self, body: bytes, grid: Grid, plain: bool = False) -> Symbols:
        """See :class:`runtime.codecs.Codec`."""
        if plain:
            return self._plain.decode(body, grid[0] * grid[1]).reshape(self._channels, *grid)
        return self._context.decode(body, grid)
