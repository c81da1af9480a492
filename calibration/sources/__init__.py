"""Where calibration pictures come from: one file a kind, picked by what the argument looks like."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from calibration.sample import Found


@dataclass(frozen=True)
class Source:
    """A kind of data: what its arguments look like, and the module with ``find(data, keys, seed)``."""

    name: str
    looks: str
    matches: Callable[[str], bool]

    def find(self, data: str, keys: Keys, seed: int) -> Found:
        """Look at the data without reading pictures yet."""
        return cast(Found, importlib.import_module(f"calibration.sources.{self.name}").find(data, keys, seed))


@dataclass(frozen=True)
class Keys:
    """What a container calls pictures and classes; a source has its own usual names."""

    image: str | None = None
    label: str | None = None


#: In this order; the last one takes what no other does.
SOURCES = (
    Source("npz", "FILE.npz", lambda data: data.endswith(".npz")),
    Source("shards", "SHARDS.tar, with {000..146} or s3://", lambda data: data.startswith("s3://") or ".tar" in data),
    Source("folder", "DIR, with one folder a class or without", lambda data: True),
)


def source_of(data: str) -> Source:
    """The kind of data that the argument names."""
    return next(source for source in SOURCES if source.matches(data))
