"""What passes through the loop, and what a source is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from runtime.preprocess import Picture


@dataclass(frozen=True)
class Shot:
    """One frame as its source gives it: not decoded yet, because most frames of a fast camera never are."""

    name: str
    load: Callable[[int], Picture]
    """What :class:`runtime.Encoder` takes, given the bundle's input size; a PictureError where it is damaged."""


@dataclass(frozen=True)
class Frame:
    """A shot with its number and the moment at which it had been read."""

    id: int
    shot: Shot
    read_at: float


class Source(ABC):
    """Where frames come from. One that is not live waits for its reader; a live one goes on regardless."""

    live = False
    patience = 10.0
    """Seconds without a frame after which a live source counts as gone."""
    trouble = ""
    """Why no frame comes just now."""

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def shots(self) -> Iterator[Shot]:
        """All frames, in order; whatever is open is closed when the iterator is."""

    def close(self) -> None:  # noqa: B027, a source that waits for its reader has nothing to be woken from
        """Let ``shots`` end soon, asked from another thread."""
