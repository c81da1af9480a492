"""Codecs: ways of turning a latent's integers into a body, one file each."""

from __future__ import annotations

import importlib
from typing import Protocol

from runtime.coder import Symbols
from runtime.errors import BundleError
from runtime.payload import Grid
from runtime.tables import Tables


class Codec(Protocol):
    """Codes the symbols of one latent; made once from a bundle's tables."""

    coder: str
    """Name of the range coder in use."""

    def encode(self, symbols: Symbols) -> bytes:
        """Body of symbols of shape (channels, height, width)."""
        ...

    def decode(self, body: bytes, grid: Grid) -> Symbols:
        """Symbols of shape (channels, height, width)."""
        ...


CODECS = {"factorized": ("runtime.codecs.factorized", "FactorizedCodec")}


def make(kind: str, tables: Tables, coder: str | None) -> Codec:
    """The codec that a bundle names."""
    if kind not in CODECS:
        raise BundleError(f"the bundle needs codec {kind!r}, which this version does not have: update splitport")
    module, name = CODECS[kind]
    codec: Codec = getattr(importlib.import_module(module), name)(tables, coder)
    return codec
