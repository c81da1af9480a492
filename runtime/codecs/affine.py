"""The affine codec: 8-bit numbers on a scale that each picture sets for itself, which the body therefore carries.

Body: how the numbers are coded (0 as bytes, 1 by tables, 2 by the plain ones of context tables), the zero point, the
scale as float32, then the numbers. A symbol is a number less the zero point, so that tables and contexts see real
zeros as zeros. Whichever way is shortest is taken. Tables that were not fitted to pictures expect every number alike,
and lose to bytes unless channels are zero all over.
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
_LARGEST = float(np.finfo(np.float32).max)
_BROKEN = "the body breaks the rules of its codec; send the payload again"


class AffineCodec:
    """See :class:`runtime.codecs.Codec`. A message's side is the bits of its scale, and its zero point."""

    def __init__(self, tables: Tables, coder: str | None = None) -> None:
        self._channels = tables.channels
        self._inner: Codec = (ContextCodec if tables.contexts else FactorizedCodec)(tables, coder)
        self._ways = (_BYTES, _TABLES, *((_PLAIN,) if tables.contexts else ()))
        self.coder = self._inner.coder

    def read(self, outputs: Outputs) -> Message:
        """See :class:`runtime.codecs.Codec`: the real latent, cut into 255 steps between its extremes."""
        latent = np.ascontiguousarray(outputs[0], np.float32)
        scale, zero = _fit(latent.min(), latent.max())
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
        if how not in self._ways or not _is_scale(scale):
            raise CorruptBody(_BROKEN)
        if how == _BYTES:
            if len(rest) != self._channels * grid[0] * grid[1]:
                shape = f"{self._channels}x{grid[0]}x{grid[1]}"
                raise CorruptBody(f"{len(rest)} numbers for a latent of {shape}; send the payload again")
            symbols = np.frombuffer(rest, np.uint8).astype(np.int32).reshape(self._channels, *grid) - zero
        else:
            symbols = self._inner.decode(rest, grid, how == _PLAIN).symbols
        message, low, high = Message(symbols, _side(np.float32(scale), zero)), int(symbols.min()), int(symbols.max())
        if low + zero < 0 or high + zero > _STEPS or scale * max(-low, high) > _LARGEST:
            raise CorruptBody(_BROKEN)
        if self.encode(message).body != body:
            raise CorruptBody(_BROKEN)
        return message

    def charge(self, message: Message) -> float:
        """See :class:`runtime.codecs.Codec`: what the tables ask, or bytes where these are fewer."""
        return min(self._inner.charge(message), 8.0 * message.symbols.size)

    def latent(self, message: Message) -> npt.NDArray[np.float32]:
        """See :class:`runtime.codecs.Codec`."""
        return message.symbols.astype(np.float32) * _scale_and_zero(message)[0]


def _fit(low: np.float32, high: np.float32) -> tuple[np.float32, int]:
    """The scale of 255 steps from the lowest to the highest number, and where on it zero lies, rounded down.

    All in float32, as the benchmark has it. Where all numbers are the same, one step leads from zero to them.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        scale = (high - low) / np.float32(_STEPS)
    if not np.isfinite(scale):
        raise SymbolError("the latent of this picture is not finite, or too wide, and cannot be coded")
    if scale == 0:
        scale = np.abs(low) or np.float32(1)
    return scale, int(np.clip(-low / scale, 0, _STEPS))


def _side(scale: np.float32, zero: int) -> Symbols:
    return np.array([np.float32(scale).view(np.int32), zero], np.int32)


def _scale_and_zero(message: Message) -> tuple[np.float32, int]:
    side = message.side
    if side is None or side.shape != (2,) or side.dtype != np.int32:
        raise SymbolError("scale and zero point are missing")
    scale, zero = side[:1].view(np.float32)[0], int(side[1])
    if not (_is_scale(scale) and 0 <= zero <= _STEPS):
        raise SymbolError(f"a scale of {scale} with zero at {zero} cannot be coded")
    return scale, zero


def _is_scale(scale: float | np.float32) -> bool:
    return bool(np.isfinite(scale) and scale > 0)
