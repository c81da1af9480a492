"""The affine codec: 8-bit numbers on a scale that each picture sets for itself, which the body therefore carries.

Body: how the numbers are coded (0 as bytes, 1 by tables, 2 by the plain ones of context tables), the zero point, the
scale as float32, then the numbers. A symbol is a number less the zero point, so that tables and contexts see real
zeros as zeros. Whichever way is shortest is taken; tables that were not fitted to pictures never are.
"""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

from runtime.codecs import Codec, Coded, Message, Outputs, checked
from runtime.codecs.context import ContextCodec
from runtime.codecs.factorized import FactorizedCodec
from runtime.coder import Symbols
from runtime.errors import CorruptBody, SymbolError, UnsupportedFlags
from runtime.payload import Grid
from runtime.tables import Tables

_HEAD = struct.Struct("<BBf")
_BYTES, _TABLES, _PLAIN = range(3)
_STEPS = 255


class AffineCodec:
    """See :class:`runtime.codecs.Codec`. A message's side is the bits of its scale, and its zero point."""

    def __init__(self, tables: Tables, coder: str | None = None) -> None:
        self._channels = tables.channels
        self._inner: Codec = (ContextCodec if tables.contexts else FactorizedCodec)(tables, coder)
        self.coder = self._inner.coder

    def read(self, outputs: Outputs) -> Message:
        """See :class:`runtime.codecs.Codec`: the real latent, cut into 255 steps between its extremes."""
        latent = np.ascontiguousarray(outputs[0], np.float32)
        low, high = latent.min(), latent.max()
        if not (np.isfinite(low) and np.isfinite(high)):
            raise SymbolError("the latent of this picture is not finite and cannot be coded")
        scale = (high - low) / np.float32(_STEPS) or np.float32(1)
        zero = int(np.clip(-low / scale, 0, _STEPS))
        numbers = np.rint(np.clip(zero + latent / scale, 0, _STEPS)).astype(np.int32)
        return Message(numbers - zero, _side(scale, zero))

    def encode(self, message: Message) -> Coded:
        """See :class:`runtime.codecs.Codec`."""
        symbols = checked(message.symbols, self._channels)
        scale, zero = _scale_and_zero(message)
        numbers = symbols + zero
        if numbers.min() < 0 or numbers.max() > _STEPS:
            raise SymbolError("a number is outside 8 bits; symbols and zero point do not belong together")
        body, plain = self._inner.encode(Message(symbols))
        if len(body) < numbers.size:
            return Coded(_HEAD.pack(_PLAIN if plain else _TABLES, zero, scale) + body)
        return Coded(_HEAD.pack(_BYTES, zero, scale) + numbers.astype(np.uint8).tobytes())

    def decode(self, body: bytes, grid: Grid, plain: bool = False) -> Message:
        """See :class:`runtime.codecs.Codec`."""
        if plain:
            raise UnsupportedFlags("flagged as plain, which the body itself would say")
        if len(body) < _HEAD.size:
            raise CorruptBody("the body is shorter than its scale and zero point; send the payload again")
        how, zero, scale = _HEAD.unpack_from(body)
        rest = body[_HEAD.size :]
        if how > _PLAIN or not (np.isfinite(scale) and scale > 0):
            raise CorruptBody("the body breaks the rules of its codec; send the payload again")
        if how == _BYTES:
            if len(rest) != self._channels * grid[0] * grid[1]:
                raise CorruptBody(f"{len(rest)} numbers for a latent of {self._channels}x{grid[0]}x{grid[1]}")
            symbols = np.frombuffer(rest, np.uint8).astype(np.int32).reshape(self._channels, *grid) - zero
        else:
            symbols = self._inner.decode(rest, grid, how == _PLAIN).symbols
        message = Message(symbols, _side(np.float32(scale), zero))
        if symbols.min() + zero < 0 or symbols.max() + zero > _STEPS or self.encode(message).body != body:
            raise CorruptBody("the body breaks the rules of its codec; send the payload again")
        return message

    def latent(self, message: Message) -> npt.NDArray[np.float32]:
        """See :class:`runtime.codecs.Codec`."""
        return message.symbols.astype(np.float32) * _scale_and_zero(message)[0]


def _side(scale: np.float32, zero: int) -> Symbols:
    return np.array([np.float32(scale).view(np.int32), zero], np.int32)


def _scale_and_zero(message: Message) -> tuple[np.float32, int]:
    if message.side is None or message.side.shape != (2,):
        raise SymbolError("scale and zero point are missing")
    return message.side[:1].view(np.float32)[0], int(message.side[1])
