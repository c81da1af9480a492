"""One picture that could be chosen, before it is decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from runtime.preprocess import Picture

Content: TypeAlias = "Picture | bytes"


@dataclass(frozen=True)
class Sample:
    """A name that is the same wherever the data lies, the picture, and its class where one is told."""

    name: str
    content: Content
    label: str | int | None = None


@dataclass
class Found:
    """What a source yields, and what it could not read on the way."""

    samples: Callable[[], Iterator[Sample]]
    damaged: list[str] = field(default_factory=list)
    """Filled while samples are read: containers that break off."""
    parts: int = 1
    """Files that hold samples."""
