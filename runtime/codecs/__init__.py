"""Codecs: ways of turning a latent's integers into a body, one file each."""

from __future__ import annotations

import importlib
from typing import NamedTuple, Protocol

import numpy as np

from runtime.coder import Symbols
from runtime.errors import BundleError, SymbolError
from runtime.payload import Grid
from runtime.tables import Tables


class Coded(NamedTuple):
    """What a payload needs of one latent."""

    body: bytes
    plain: bool = False
    """Whether the plain codec was used although the bundle's is another."""


class Codec(Protocol):
    """Codes the symbols of one latent; made once from a bundle's tables."""

    coder: str
    """Name of the range coder in use."""

    def encode(self, symbols: Symbols) -> Coded:
        """Code symbols of shape (channels, height, width)."""
        ...

    def decode(self, body: bytes, grid: Grid, plain: bool = False) -> Symbols:
        """Symbols of shape (channels, height, width)."""
        ...


#: Name in manifests -> (module, class).
CODECS = {
    "factorized": ("runtime.codecs.factorized", "FactorizedCodec"),
    "context": ("runtime.codecs.context", "ContextCodec"),
}


def make(kind: str, tables: Tables, coder: str | None) -> Codec:
    """The codec that a bundle names."""
    if kind not in CODECS:
        raise BundleError(f"the bundle needs codec {kind!r}, which this version does not have: update splitport")
    module, name = CODECS[kind]
    codec: Codec = getattr(importlib.import_module(module), name)(tables, coder)
    return codec


def checked(symbols: Symbols, channels: int) -> Symbols:
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
