"""The wish to end, which a signal brings."""

from __future__ import annotations

import contextlib
import queue
import signal
from collections.abc import Iterator
from types import FrameType

_SIGNALS = signal.SIGTERM, signal.SIGINT


class Stop:
    """Asked once, it stays asked; whoever waits is woken."""

    def __init__(self) -> None:
        self.asked = False
        # Of all that wakes a waiting thread, only this one may be used in a signal's handler.
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()

    def ask(self) -> None:
        """End soon."""
        self.asked = True
        self._wake.put(None)

    def wait(self, seconds: float) -> None:
        """Sleep, but not beyond the wish to end."""
        if not self.asked:
            with contextlib.suppress(queue.Empty):
                self._wake.get(timeout=seconds)

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT ask; the second of them ends the process at once."""
        before = [signal.getsignal(number) for number in _SIGNALS]

        def handle(number: int, frame: FrameType | None) -> None:
            for each in _SIGNALS:
                signal.signal(each, signal.SIG_DFL)
            self.ask()

        for number in _SIGNALS:
            signal.signal(number, handle)
        try:
            yield
        finally:
            for number, handler in zip(_SIGNALS, before, strict=True):
                signal.signal(number, handler)
