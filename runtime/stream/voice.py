"""Telling a person what goes wrong while the loop goes on, without filling a disk with it."""

from __future__ import annotations

import sys


class Voice:
    """One line for each series of the same trouble; the number of kinds bounds what it remembers."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def trouble(self, kind: str, message: str) -> None:
        """Tell it, unless this kind was told already and has not passed."""
        if kind not in self._told:
            self._told.add(kind)
            self.tell(message)

    def passed(self, kind: str) -> bool:
        """The trouble is over, where there was any: the next one will be told again."""
        if kind not in self._told:
            return False
        self._told.remove(kind)
        return True

    def tell(self, message: str) -> None:
        """One line, now."""
        print(f"stream: {' '.join(message.split())}", file=sys.stderr, flush=True)
