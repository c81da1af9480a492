"""Numbers frames as they are read, and hands them over: all of them, or the newest where they come by themselves."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

from runtime.errors import SplitportError
from runtime.stream.frames import Frame, Shot, Source

Clock = Callable[[], float]

#: Seconds that a thread has to come back when the loop ends; a driver that hangs must not hold the process.
_FAREWELL = 2.0


class Feed(Protocol):
    """Frames for the loop. ``read`` counts those that have a number, ``dropped`` those of them nobody took."""

    source: Source
    read: int
    dropped: int
    ended: bool

    def take(self, wait: float) -> Frame | None:
        """The next frame; None where none comes within so many seconds, or none will any more."""
        ...

    def close(self) -> None:
        """Let go of the source. Both counts are final afterwards."""
        ...


def feed_for(source: Source, first: int, clock: Clock) -> Feed:
    """A feed that begins to count at ``first``."""
    return Newest(source, first, clock) if source.live else Patient(source, first, clock)


class Patient:
    """For sources that wait: nothing is read before it is asked for, nothing is dropped."""

    dropped = 0

    def __init__(self, source: Source, first: int, clock: Clock) -> None:
        self.source, self.read, self.ended = source, 0, False
        self._first, self._clock = first, clock
        self._shots: Iterator[Shot] = source.shots()

    def take(self, wait: float) -> Frame | None:
        """The next one; a file is there or it is not, so there is no waiting."""
        shot = next(self._shots, None)
        if shot is None:
            self.ended = True
            return None
        self.read += 1
        return Frame(self._first + self.read - 1, shot, self._clock())

    def close(self) -> None:
        """Close what the source has open."""
        self.source.close()
        _close(self._shots)


class Newest:
    """For live sources: a thread reads on, and a frame that nobody took is dropped for the next one.

    Two frames are alive: the one that waits and the one in work, beside what the source is reading into.
    """

    def __init__(self, source: Source, first: int, clock: Clock) -> None:
        self.source, self.read, self.dropped, self.ended = source, 0, 0, False
        self._first, self._clock, self._seen = first, clock, clock()
        self._changed = threading.Condition()
        self._waiting: Frame | None = None
        self._over = self._closed = False
        self._error: SplitportError | None = None
        self._thread = threading.Thread(target=self._read_on, name="splitport-source", daemon=True)
        self._thread.start()

    def take(self, wait: float) -> Frame | None:
        """The newest frame, once; a SplitportError where the source has been silent beyond its patience."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is not None or self._over, wait)
            frame, self._waiting = self._waiting, None
            if frame is not None:
                return frame
            if self._error is not None:
                raise self._error
            self.ended = self._over
            if not self._over and self._clock() - self._seen > self.source.patience:
                why = f": {self.source.trouble}" if self.source.trouble else ""
                raise SplitportError(f"{self.source.name} gave no frame for {self.source.patience:g} s{why}")
            return None

    def close(self) -> None:
        """Whatever waits counts as dropped, and nothing is counted after that."""
        self.source.close()
        self._thread.join(_FAREWELL)
        with self._changed:
            self._closed = True
            self.dropped += self._waiting is not None
            self._waiting = None

    def _read_on(self) -> None:
        shots = self.source.shots()
        try:
            for shot in shots:
                if not self._put(shot):
                    break
        except SplitportError as why:
            self._error = why
        except Exception as why:  # drivers raise anything; it must come out where the loop sees it
            self._error = SplitportError(f"{self.source.name}: {why}")
            self._error.__cause__ = why
        finally:
            with contextlib.suppress(Exception):
                _close(shots)
            with self._changed:
                self._over = True
                self._changed.notify()

    def _put(self, shot: Shot) -> bool:
        with self._changed:
            if self._closed:
                return False
            self.dropped += self._waiting is not None
            self._seen = self._clock()
            self._waiting = Frame(self._first + self.read, shot, self._seen)
            self.read += 1
            self._changed.notify()
            return True


def _close(shots: Iterator[Shot]) -> None:
    close = getattr(shots, "close", None)  # a generator has one
    if close:
        close()
