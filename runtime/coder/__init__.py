"""Range coding, three ways, byte for byte the same.

``native``        the C file beside this one: fastest, one call for a whole symbol array
``constriction``  the package of that name, where it has a wheel
``reference``     pure Python: slow, always there, and the wire format in its most readable form

A coder is made once from a bundle's tables and then used for every picture.
"""

from __future__ import annotations

import importlib
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from runtime.errors import EngineError, UnknownName
from runtime.payload import Grid
from runtime.tables import Tables

Symbols = npt.NDArray[np.int32]


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


#: name -> (module and class of the plain codec's coder, of the context codec's), best first: benchmarks/coder.py
#: measures the order.
CODERS = {
    "native": (("runtime.coder.native", "NativeCoder"), ("runtime.coder.native_context", "NativeContextCoder")),
    "constriction": (("runtime.coder.stock", "ConstrictionCoder"), ("runtime.coder.stock", "ConstrictionContextCoder")),
    "reference": (
        ("runtime.coder.reference", "ReferenceCoder"),
        ("runtime.coder.reference", "ReferenceContextCoder"),
    ),
}


def available() -> list[str]:
    """Names of the coders that work here, best first."""
    return [name for name in CODERS if _load(name) is not None]


def make(name: str | None, tables: Tables) -> tuple[str, Coder]:
    """The named coder, or the best one that works here, ready for these tables."""
    chosen, (plain, _) = _choose(name)
    coder: Coder = plain(tables)
    return chosen, coder


def make_context(name: str | None, tables: Tables) -> tuple[str, ContextCoder]:
    """The same for tables that have contexts."""
    chosen, (_, context) = _choose(name)
    coder: ContextCoder = context(tables)
    return chosen, coder


def _choose(name: str | None) -> tuple[str, tuple[Any, Any]]:
    if name is not None and name not in CODERS:
        raise UnknownName("coder", name, CODERS)
    for candidate in [name] if name else list(CODERS):
        if (classes := _load(candidate)) is not None:
            return candidate, classes
    hint = {"native": "build it with: pip install -e .", "constriction": "pip install constriction"}
    raise EngineError(f"coder {name!r} does not work here; {hint.get(str(name), '')}")


def _load(name: str) -> tuple[Any, Any] | None:
    try:
        plain, context = (getattr(importlib.import_module(module), cls) for module, cls in CODERS[name])
    except ImportError:
        return None
    return plain, context
