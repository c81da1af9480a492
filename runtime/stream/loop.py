"""The loop: take a frame, encode it, hand the payload on, until somebody says stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from runtime.encoder import Encoder
from runtime.errors import PictureError, SymbolError
from runtime.stream.feed import Clock, Feed
from runtime.stream.figures import Figures
from runtime.stream.frames import Frame
from runtime.stream.pace import Pace
from runtime.stream.service import Service
from runtime.stream.sinks import Sink
from runtime.stream.stop import Stop
from runtime.stream.voice import Voice

#: The longest that the loop waits for anything without looking up.
_SLICE = 0.1
_TELL_EVERY = 1.0


@dataclass
class Loop:
    """Everything that one run needs. Not for use by several threads."""

    encoder: Encoder
    feed: Feed
    sink: Sink
    stop: Stop
    pace: Pace
    figures: Figures
    voice: Voice
    service: Service
    clock: Clock
    limit: int | None = None
    """Frames to encode before it ends."""
    tell: Callable[[dict[str, Any]], None] | None = None
    """Is given the figures of each second."""

    def run(self) -> None:
        """Turn until the source ends, the limit is reached or a stop is asked for; then close both ends."""
        told = self.clock()
        try:
            while not (self.stop.asked or self.feed.ended or self.figures.encoded == self.limit):
                self._turn()
                now = self.clock()
                if now - told >= _TELL_EVERY:
                    told = now
                    self._look_around(now)
        finally:
            self.service.stopping()
            self.feed.close()
            self.sink.close()

    def _turn(self) -> None:
        now = self.clock()
        due = self.pace.due(now)
        if due > 0:
            self.service.alive(now)  # held back by --rate is not hanging
            self.stop.wait(min(due, _SLICE))
            return
        frame = self.feed.take(_SLICE)
        if frame is not None:
            self.pace.took(self.clock())
            self._work(frame)
            self.service.alive(self.clock())

    def _work(self, frame: Frame) -> None:
        try:
            payload = self.encoder.encode(frame.shot.load(self.encoder.bundle.manifest.size))
        except (PictureError, SymbolError) as why:
            self.figures.damaged += 1
            if not self.feed.source.live:  # each is a file of its own that somebody wants to mend
                self.voice.passed("frame")
            self.voice.trouble("frame", f"frame {frame.id}: {why}")
            return
        self.voice.passed("frame")
        delivered = self.sink.put(frame.id, payload)
        self.figures.add(payload, self.clock() - frame.read_at, delivered)
        self.service.ready()

    def _look_around(self, now: float) -> None:
        source = self.feed.source
        if source.trouble:
            self.voice.trouble("source", f"{source.name}: {source.trouble}; waiting for it")
        elif self.voice.passed("source"):
            self.voice.tell(f"{source.name} gives frames again")
        if self.tell:
            self.tell(self.figures.since_last(now))
