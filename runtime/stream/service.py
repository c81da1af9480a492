"""What systemd wants to know of a service, over its datagram socket."""

from __future__ import annotations

import contextlib
import os
import socket

#: Seconds between signs of life.
_PULSE = 1.0


class Service:
    """Speaks where ``NOTIFY_SOCKET`` is set, and is silent elsewhere."""

    def __init__(self) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "")
        # An @ stands for the zero byte of Linux's abstract names.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._ready = False
        self._last = float("-inf")

    def ready(self) -> None:
        """The first payload is made."""
        if not self._ready:
            self._ready = True
            self._say("READY=1")

    def alive(self, now: float) -> None:
        """The loop turns; told about each second."""
        if now - self._last >= _PULSE:
            self._last = now
            self._say("WATCHDOG=1")

    def stopping(self) -> None:
        """The loop ends."""
        self._say("STOPPING=1")

    def _say(self, state: str) -> None:
        if not self._address:
            return
        # A manager that does not listen is no reason to stop encoding.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.setblocking(False)
            line.sendto(state.encode(), self._address)
