"""The command over many frames, in a process of its own that looks at its memory: ``KIND COUNT PICTURES ...``.

Every frame is a new array, so that whatever keeps frames is seen: 10,000 of them are 1.5 GB.
"""

from __future__ import annotations

import gc
import json
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np

from runtime.commands import main
from runtime.stream.figures import resident_mb
from runtime.stream.frames import Shot, Source
from runtime.stream.sources import SOURCES, SourceSpec

#: Frame n shows view (n - 1) % VIEWS.
VIEWS = 16


class Synthetic(Source):
    """Waits for its reader, or makes a frame about twice a millisecond, whether anybody takes it or not."""

    def __init__(self, live: bool, count: int, views: np.ndarray) -> None:
        super().__init__("synthetic")
        self.live, self._count, self._views = live, count, views
        self._closed = threading.Event()
        self.taken = 0
        self.samples: list[dict[str, float]] = []

    def shots(self) -> Iterator[Shot]:
        made = 0
        while not self._closed.is_set() and (self.live or made < self._count):
            view = self._views[made % VIEWS].copy()
            yield Shot("synthetic", lambda size, view=view: self._taken(view))
            made += 1
            if self.live:
                time.sleep(0.0005)

    def close(self) -> None:
        self._closed.set()

    def _taken(self, view: np.ndarray) -> np.ndarray:
        self.taken += 1
        if self.taken % (self._count // 10) == 0:
            gc.collect()
            rss, objects = resident_mb(), len(gc.get_objects())
            self.samples.append({"frames": self.taken, "rss_mb": rss, "objects": objects})
        return view


def run(kind: str, count: str, views: str, *arguments: str) -> int:
    source = Synthetic(kind == "live", int(count), np.load(views))
    SOURCES["synthetic"] = SourceSpec("synthetic", "", "synthetic", "synthetic".__eq__)
    SourceSpec.open = lambda self, word: source
    code = main(["stream", *arguments, "--source", "synthetic", "--json"])
    print(json.dumps(source.samples))
    return code


if __name__ == "__main__":
    sys.exit(run(*sys.argv[1:]))
