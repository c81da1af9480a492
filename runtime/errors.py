"""Everything that can go wrong, as one tree.

::

    SplitportError(Exception)
    ├── PayloadError(ValueError)        the bytes received are not a payload for these tables
    │   ├── TruncatedPayload            shorter than its own header
    │   ├── BadMagic                    does not begin with "SP"
    │   ├── UnsupportedVersion          wire format newer than this program
    │   ├── UnsupportedFlags            a flag bit this program does not know, or the bundle cannot honour
    │   ├── BadChecksum                 damaged on the way
    │   ├── WrongTable                  coded with tables that were not given to this decoder
    │   ├── TooLarge                    grid or length beyond the limits of the bundle
    │   └── BadBody                     the range-coded part is not what a sender writes
    │       ├── CorruptBody             names a point outside every symbol, or breaks the codec's rules
    │       └── SymbolsLeftOver         goes on after the last symbol
    ├── SymbolError(ValueError)         symbols that cannot be coded: wrong shape, or outside 16 bits
    ├── TablesError(ValueError)         probability tables that break their rules
    ├── BundleError(ValueError)         a directory that is not an intact bundle
    ├── PictureError(ValueError)        a file or array that is not a usable picture
    ├── EngineError(RuntimeError)       an inference engine that is missing or failed
    └── UsageError(ValueError)          a request that cannot be met, whatever the files hold
        └── UnknownName(KeyError)       a name that no registry entry has; suggests the nearest

Each message is one line that says what to do. Command lines print it and exit with 1 (2 for :class:`UsageError`);
library users catch the branch they care about.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SplitportError(Exception):
    """Root of the tree: an error with a message for the user, not a bug."""


class PayloadError(SplitportError, ValueError):
    """The bytes received are not a payload for these tables."""


class TruncatedPayload(PayloadError):
    """Shorter than its own header."""


class BadMagic(PayloadError):
    """Does not begin with the two magic bytes."""


class UnsupportedVersion(PayloadError):
    """Written by a newer wire format."""


class UnsupportedFlags(PayloadError):
    """A flag bit that is unknown, or that the bundle cannot honour."""


class BadChecksum(PayloadError):
    """Damaged on the way."""


class WrongTable(PayloadError):
    """Coded with tables that were not given to this decoder."""


class TooLarge(PayloadError):
    """Grid or length beyond the limits of the bundle."""


class BadBody(PayloadError):
    """The range-coded part is not what a sender writes."""


class CorruptBody(BadBody):
    """Names a point outside every symbol, or breaks the codec's rules."""


class SymbolsLeftOver(BadBody):
    """Goes on after the last symbol."""


class SymbolError(SplitportError, ValueError):
    """Symbols that cannot be coded."""


class TablesError(SplitportError, ValueError):
    """Probability tables that break their rules."""


class BundleError(SplitportError, ValueError):
    """A directory that is not an intact bundle."""


class PictureError(SplitportError, ValueError):
    """A file or array that is not a usable picture."""


class EngineError(SplitportError, RuntimeError):
    """An inference engine that is missing or failed."""


class UsageError(SplitportError, ValueError):
    """A request that cannot be met, whatever the files hold."""


class UnknownName(UsageError, KeyError):
    """A name that no registry entry has."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        super().__init__(kind, name, tuple(sorted(known)))

    def __str__(self) -> str:
        kind, name, known = self.args
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        return f"unknown {kind} {name!r}{hint} Known: {', '.join(known)}"
