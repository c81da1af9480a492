"""The hyperprior codec: hyper symbols say which table, and which mean, each symbol of the latent has.

One stream: the hyper symbols, coded like a factorized latent, then the symbols, raster by raster, then the values that
had to take an escape bin. From hyper symbols to tables and means it is integer arithmetic (:mod:`runtime.hyper`), so
that both ends come to the same ones on whatever machine they run.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from runtime import coder as coders
from runtime.codecs import Coded, Message, Outputs, as_integers, checked
from runtime.coder import Symbols
from runtime.errors import CorruptBody, SymbolError, TablesError, UnsupportedFlags
from runtime.payload import Grid
from runtime.tables import Tables

_Synthesised = tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]


class HyperpriorCodec:
    """See :class:`runtime.codecs.Codec`. A message's side is its hyper symbols."""

    def __init__(self, tables: Tables, coder: str | None = None) -> None:
        if tables.hyper is None:
            raise TablesError("these tables have no hyperprior; export the bundle again")
        self.coder, self._coder = coders.make_hyper(coder, tables)
        self._tables, self._hyper, self._channels = tables, tables.hyper, tables.channels
        self._known: tuple[Symbols, _Synthesised] | None = None

    def read(self, outputs: Outputs) -> Message:
        """See :class:`runtime.codecs.Codec`: a real latent and the hyper symbols; what is coded is around the means."""
        side = checked(as_integers(outputs[1]), self._channels)
        _, means = self._keep(side)
        return Message(as_integers(np.rint(outputs[0] - means)), side)

    def encode(self, message: Message) -> Coded:
        """See :class:`runtime.codecs.Codec`."""
        if message.side is None:
            raise SymbolError("hyper symbols are missing")
        symbols, side = checked(message.symbols, self._hyper.channels), checked(message.side, self._channels)
        rows, _ = self._recall(side)
        if rows.shape != symbols.shape:
            raise SymbolError(f"symbols of shape {symbols.shape} do not belong to hyper symbols of {side.shape}")
        return Coded(self._coder.encode(side.reshape(self._channels, -1), symbols.ravel(), rows.ravel()))

    def decode(self, body: bytes, grid: Grid, plain: bool = False) -> Message:
        """See :class:`runtime.codecs.Codec`."""
        if plain:
            raise UnsupportedFlags("flagged as plain, but the tables it names have nothing else")
        try:
            height, width = self._hyper.grid(grid)
        except TablesError as why:
            raise CorruptBody(f"no sender has a latent of {grid[0]}x{grid[1]}; send the payload again") from why

        shape, count = (self._channels, height, width), self._hyper.channels * grid[0] * grid[1]

        def rows_of(side: Symbols) -> npt.NDArray[np.uint8]:
            return self._keep(side.reshape(shape))[0].ravel()

        _, symbols = self._coder.decode(body, height * width, count, rows_of)
        assert self._known is not None
        return Message(symbols.reshape(-1, *grid), self._known[0])

    def charge(self, message: Message) -> float:
        """See :class:`runtime.codecs.Codec`."""
        assert message.side is not None and self._tables.scales is not None
        rows, _ = self._hyper.synthesise(message.side)
        return self._tables.charge(message.side) + self._tables.scales.charge(message.symbols, rows)

    def latent(self, message: Message) -> npt.NDArray[np.float32]:
        """See :class:`runtime.codecs.Codec`."""
        assert message.side is not None
        return message.symbols.astype(np.float32) + self._recall(message.side)[1]

    def _keep(self, side: Symbols) -> _Synthesised:
        """Compute, and remember for whoever asks about the very same array next."""
        self._known = side, self._hyper.synthesise(side)
        return self._known[1]

    def _recall(self, side: Symbols) -> _Synthesised:
        """What was remembered of this array, once; a message from elsewhere is computed."""
        known, self._known = self._known, None
        return known[1] if known is not None and known[0] is side else self._hyper.synthesise(side)
