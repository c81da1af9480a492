"""Range coding, three ways, byte for byte the same.

``native``        the C file beside this one: fastest, one call for a whole symbol array
``constriction``  the package of that name, where it has a wheel
``reference``     pure Python: slow, always there, and the wire format in its most readable form

A coder is made once from a bundle's tables and then used for every picture.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from runtime.errors import EngineError, UnknownName
from runtime.payload import Grid
from runtime.tables import Tables

Symbols = npt.NDArray[np.int32]
#: From hyper symbols (channels, cells) to the row of each symbol.
RowsOf = Callable[[Symbols], npt.NDArray[np.uint8]]


class Coder(Protocol):
    """Turns symbols of shape (channels, cells) into a body and back."""

    def __init__(self, tables: Tables) -> None: ...

    def encode(self, symbols: Symbols) -> bytes:
        """The canonical body of these symbols; SymbolError if one is outside 16 bits."""
        ...

    def decode(self, body: bytes, cells: int) -> Symbols:
        """The symbols of a canonical body; a BadBody error for every other byte string."""
        ...


class ContextCoder(Protocol):
    """The same for the context codec, which needs to know where symbols lie."""

    def __init__(self, tables: Tables) -> None: ...

    def encode(self, symbols: Symbols) -> tuple[bytes, int]:
        """The body of symbols (channels, height, width), and how many bytes the plain codec would need at least."""
        ...

    def decode(self, body: bytes, grid: Grid) -> Symbols:
        """The symbols (channels, height, width) of a canonical body; a BadBody error for every other byte string."""
        ...


class HyperCoder(Protocol):
    """The same for the hyperprior codec: hyper symbols, then symbols of which each has its own table."""

    def __init__(self, tables: Tables) -> None: ...

    def encode(self, side: Symbols, symbols: Symbols, rows: npt.NDArray[np.uint8]) -> bytes:
        """The body of hyper symbols (channels, cells) and of symbols in a row, each coded with the row named for it."""
        ...

    def decode(self, body: bytes, cells: int, count: int, rows_of: RowsOf) -> tuple[Symbols, Symbols]:
        """Both of a canonical body; ``rows_of`` tells the rows once the hyper symbols are known."""
        ...


#: name -> its module, and its classes for the plain, the context and the hyperprior codec, best first:
#: benchmarks/coder.py measures the order.
CODERS = {
    "native": (
        ("runtime.coder.native", "NativeCoder"),
        ("runtime.coder.native_context", "NativeContextCoder"),
        ("runtime.coder.native_hyper", "NativeHyperCoder"),
    ),
    "constriction": (
        ("runtime.coder.stock", "ConstrictionCoder"),
        ("runtime.coder.stock", "ConstrictionContextCoder"),
        ("runtime.coder.stock", "ConstrictionHyperCoder"),
    ),
    "reference": (
        ("runtime.coder.reference", "ReferenceCoder"),
        ("runtime.coder.reference", "ReferenceContextCoder"),
        ("runtime.coder.reference", "ReferenceHyperCoder"),
    ),
}


def available() -> list[str]:
    """Names of the coders that work here, best first."""
    return [name for name in CODERS if _load(name, 0) is not None]


def make(name: str | None, tables: Tables) -> tuple[str, Coder]:
    """The named coder, or the best one that works here, ready for these tables."""
    chosen, plain = _choose(name, 0)
    return chosen, plain(tables)


def make_context(name: str | None, tables: Tables) -> tuple[str, ContextCoder]:
    """The same for tables that have contexts."""
    chosen, context = _choose(name, 1)
    return chosen, context(tables)


def make_hyper(name: str | None, tables: Tables) -> tuple[str, HyperCoder]:
    """The same for tables that have a hyperprior."""
    chosen, hyper = _choose(name, 2)
    return chosen, hyper(tables)


def _choose(name: str | None, codec: int) -> tuple[str, Any]:
    if name is not None and name not in CODERS:
        raise UnknownName("coder", name, CODERS)
    for candidate in [name] if name else list(CODERS):
        if (made := _load(candidate, codec)) is not None:
            return candidate, made
    hint = {"native": "build it with: pip install -e .", "constriction": "pip install constriction"}
    raise EngineError(f"coder {name!r} does not work here; {hint.get(str(name), '')}")


def _load(name: str, codec: int) -> Any:
    module, cls = CODERS[name][codec]
    try:
        return getattr(importlib.import_module(module), cls)
    except ImportError:
        return None
