"""The plain codec of factorized priors: every position of a channel is coded with that channel's table.

Order: one all-zero flag for each channel, then the channels that are not all zero, one after another and raster
inside, then the values that had to take an escape bin.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from runtime import coder as coders
from runtime.codecs import Coded, Message, Outputs, as_integers, checked
from runtime.errors import UnsupportedFlags
from runtime.payload import Grid
from runtime.tables import Tables


class FactorizedCodec:
    """See :class:`runtime.codecs.Codec`."""

    def __init__(self, tables: Tables, coder: str | None = None) -> None:
        self.coder, self._coder = coders.make(coder, tables)
        self._tables = tables

    def read(self, outputs: Outputs) -> Message:
        """See :class:`runtime.codecs.Codec`: the graph's output is the symbols."""
        return Message(as_integers(outputs[0]))

    def encode(self, message: Message) -> Coded:
        """See :class:`runtime.codecs.Codec`."""
        channels = self._tables.channels
        return Coded(self._coder.encode(checked(message.symbols, channels).reshape(channels, -1)))

    def decode(self, body: bytes, grid: Grid, plain: bool = False) -> Message:
        """See :class:`runtime.codecs.Codec`."""
        if plain:
            raise UnsupportedFlags("flagged as plain, but the tables it names have nothing else")
        return Message(self._coder.decode(body, grid[0] * grid[1]).reshape(self._tables.channels, *grid))

    def charge(self, message: Message) -> float:
        """See :class:`runtime.codecs.Codec`."""
        return self._tables.charge(message.symbols)

    def latent(self, message: Message) -> npt.NDArray[np.float32]:
        """See :class:`runtime.codecs.Codec`."""
        return self._tables.latent(message.symbols)
