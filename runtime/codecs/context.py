"""The context codec: a symbol's table depends on what was coded around it.

For each picture the plain codec is used instead where that is shorter, so that pictures unlike those the contexts were
fitted to cost no more than before.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from runtime import coder as coders
from runtime.codecs import Coded, Message, Outputs, as_integers, checked
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
        self._tables, self._channels = tables, tables.channels

    def read(self, outputs: Outputs) -> Message:
        """See :class:`runtime.codecs.Codec`: the graph's output is the symbols."""
        return Message(as_integers(outputs[0]))

    def encode(self, message: Message) -> Coded:
        """See :class:`runtime.codecs.Codec`."""
        symbols = checked(message.symbols, self._channels)
        body, plain_at_least = self._context.encode(symbols)
        if plain_at_least <= len(body):
            plain = self._plain.encode(symbols.reshape(self._channels, -1))
            if len(plain) < len(body):
                return Coded(plain, plain=True)
        return Coded(body)

    def decode(self, body: bytes, grid: Grid, plain: bool = False) -> Message:
        """See :class:`runtime.codecs.Codec`."""
        if plain:
            return Message(self._plain.decode(body, grid[0] * grid[1]).reshape(self._channels, *grid))
        return Message(self._context.decode(body, grid))

    def charge(self, message: Message) -> float:
        """See :class:`runtime.codecs.Codec`."""
        return self._tables.charge(message.symbols)

    def latent(self, message: Message) -> npt.NDArray[np.float32]:
        """See :class:`runtime.codecs.Codec`."""
        return self._tables.latent(message.symbols)
