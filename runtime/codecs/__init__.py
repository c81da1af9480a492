"""Codecs: ways of turning a latent into a body, one file each."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from runtime.coder import Symbols
from runtime.errors import BundleError, SymbolError
from runtime.payload import Grid
from runtime.tables import Tables

Outputs = Sequence[npt.NDArray[Any]]


class Message(NamedTuple):
    """What a payload carries: integers, from which both ends compute the same latent."""

    symbols: Symbols
    """Of shape (channels, height, width)."""
    side: Symbols | None = None
    """What a receiver must know before it can make sense of the symbols, where a codec needs that."""


class Coded(NamedTuple):
    """What a payload needs of one latent."""

    body: bytes
    plain: bool = False
    """Whether the plain codec was used although the bundle's is another."""


class Codec(Protocol):
    """Codes one latent at a time; made once from a bundle's tables."""

    coder: str
    """Name of the range coder in use."""

    def read(self, outputs: Outputs) -> Message:
        """What an encoder's graph put out for one picture, as integers; the latent comes first."""
        ...

    def encode(self, message: Message) -> Coded:
        """The body; SymbolError for integers that cannot be coded."""
        ...

    def decode(self, body: bytes, grid: Grid, plain: bool = False) -> Message:
        """What a body holds; a BadBody error for anything that no sender writes."""
        ...

    def charge(self, message: Message) -> float:
        """Bits that the tables alone ask for a message: no flags, no coder, 16 more for an escape."""
        ...

    def latent(self, message: Message) -> npt.NDArray[np.float32]:
        """The quantised latent, of shape (channels, height, width): the same numbers at both ends."""
        ...


#: Name in manifests -> (module, class).
CODECS = {
    "factorized": ("runtime.codecs.factorized", "FactorizedCodec"),
    "context": ("runtime.codecs.context", "ContextCodec"),
    # Every channel has the same table, and a symbol stands for a multiple of the tables' step: the same bytes else.
    "histogram": ("runtime.codecs.factorized", "FactorizedCodec"),
    "hyperprior": ("runtime.codecs.hyperprior", "HyperpriorCodec"),
    "affine": ("runtime.codecs.affine", "AffineCodec"),
}


def make(kind: str, tables: Tables, coder: str | None) -> Codec:
    """The codec that a bundle names."""
    if kind not in CODECS:
        raise BundleError(f"the bundle needs codec {kind!r}, which this version does not have: update splitport")
    module, name = CODECS[kind]
    codec: Codec = getattr(importlib.import_module(module), name)(tables, coder)
    return codec


def checked(symbols: npt.NDArray[Any], channels: int) -> Symbols:
    """The symbols as coders take them, or an error that says why they cannot be coded."""
    if symbols.ndim != 3 or symbols.shape[0] != channels or 0 in symbols.shape:
        raise SymbolError(f"symbols of shape {symbols.shape} do not fit tables of {channels} channels")
    if symbols.dtype.kind not in "iu":
        raise SymbolError(f"symbols must be integers, not {symbols.dtype}")
    if symbols.dtype != np.int32:
        if symbols.min() < -(1 << 31) or symbols.max() >= 1 << 31:
            raise SymbolError("a symbol is outside 16 bits; the latent of this picture cannot be coded")
        symbols = symbols.astype(np.int32)
    return symbols


def as_integers(output: npt.NDArray[Any]) -> Symbols:
    """Integers in whatever number format a target keeps them, and in whatever order in memory.

    A NaN becomes a value that coders refuse.
    """
    with np.errstate(invalid="ignore"):
        return np.ascontiguousarray(output, dtype=np.int32)
