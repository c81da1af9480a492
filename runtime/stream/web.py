"""What the source and the sink that speak HTTP share: addresses and connections, standard library only."""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from urllib.parse import urlsplit

from runtime.errors import UsageError

#: All that a connection may raise.
TROUBLES = (OSError, http.client.HTTPException)


@dataclass(frozen=True)
class Address:
    """Where to connect, and what to ask for there."""

    url: str
    secure: bool
    host: str
    port: int | None
    target: str

    @classmethod
    def parse(cls, url: str) -> Address:
        """From what a user wrote."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = None
        if not host or parts.scheme not in ("http", "https"):
            raise UsageError(f"{url} is not an address such as http://server.local:8080/frames")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(url, parts.scheme == "https", host, port, target)

    def connection(self, timeout: float) -> http.client.HTTPConnection:
        """Not connected yet; it does that with the first request."""
        kind = http.client.HTTPSConnection if self.secure else http.client.HTTPConnection
        return kind(self.host, self.port, timeout=timeout)


def said(why: Exception) -> str:
    """What went wrong, in words."""
    return getattr(why, "strerror", None) or str(why) or type(why).__name__
