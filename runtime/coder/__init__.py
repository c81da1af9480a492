"""Range coding, three ways, byte for byte the same.

``native``        the C file beside this one: fastest, one call for a whole symbol array
``constriction``  the package of that name, where it has a wheel
``reference``     pure Python: slow, always there, and the wire format in its most readable form

A coder is made once from a bundle's tables and then used for every picture.
"""

from __future__ import annotations

import importlib
from typing import Protocol

import numpy as np
import numpy.typing as npt

from runtime.errors import EngineError, UnknownName
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


#: name -> (module, class), best first: benchmarks/coder.py measures the order.
CODERS = {
    "native": ("runtime.coder.native", "NativeCoder"),
    "constriction": ("runtime.coder.stock", "ConstrictionCoder"),
    "reference": ("runtime.coder.reference", "ReferenceCoder"),
}


def available() -> list[str]:
    """Names of the coders that work here, best first."""
    return [name for name in CODERS if _load(name) is not None]


def make(name: str | None, tables: Tables) -> tuple[str, Coder]:
    """The named coder, or the best one that works here, ready for these tables."""
    if name is not None and name not in CODERS:
        raise UnknownName("coder", name, CODERS)
    for candidate in [name] if name else list(CODERS):
        if (coder := _load(candidate)) is not None:
            return candidate, coder(tables)
    hint = {"native": "build it with: pip install -e .", "constriction": "pip install constriction"}
    raise EngineError(f"coder {name!r} does not work here; {hint.get(str(name), '')}")


def _load(name: str) -> type[Coder] | None:
    module, cls = CODERS[name]
    try:
        loaded: type[Coder] = getattr(importlib.import_module(module), cls)
    except ImportError:
        return None
    return loaded
