"""Running figures: what has happened so far, and in the last second."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from runtime.payload import HEADER_BYTES
from runtime.stream.feed import Feed

#: Latencies kept of one second; a faster loop's percentiles are those of its newest frames.
_KEPT = 4096


def resident_mb() -> float | None:
    """Memory of this process that is in RAM just now; None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@dataclass
class Window:
    """What happened since the last line."""

    begin: float
    encoded: int = 0
    wire_bytes: int = 0
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))


class Figures:
    """Every frame that was read was encoded, dropped or damaged; of the encoded some could not be delivered."""

    def __init__(self, feed: Feed, now: float) -> None:
        self._feed, self._begin, self._window = feed, now, Window(now)
        self.encoded = self.damaged = self.failed = 0
        self._wire_bytes, self._latency, self._longest = 0, 0.0, 0.0

    def add(self, payload: bytes, latency: float, delivered: bool) -> None:
        """A frame was encoded, and its payload was delivered or not, so many seconds after it had been read."""
        self.encoded += 1
        self.failed += not delivered
        self._wire_bytes += len(payload)
        self._latency += latency
        self._longest = max(self._longest, latency)
        self._window.encoded += 1
        self._window.wire_bytes += len(payload)
        self._window.latencies.append(latency)

    def since_last(self, now: float) -> dict[str, Any]:
        """The line of this second, after which a new one begins."""
        window, self._window = self._window, Window(now)
        p50, p90 = np.percentile(window.latencies, (50, 90)) * 1e3 if window.latencies else (None, None)
        return {
            **self._counts(now),
            "fps": round(window.encoded / max(now - window.begin, 1e-9), 2),
            "latency_ms": {"p50": _rounded(p50), "p90": _rounded(p90)},
            **_bytes(window.wire_bytes, window.encoded),
            "rss_mb": _rounded(resident_mb(), 1),
        }

    def altogether(self, now: float) -> dict[str, Any]:
        """The same over the whole time, for the end."""
        mean = 1e3 * self._latency / self.encoded if self.encoded else None
        return {
            **self._counts(now),
            "fps": round(self.encoded / max(now - self._begin, 1e-9), 2),
            "latency_ms": {"mean": _rounded(mean), "longest": _rounded(1e3 * self._longest if self.encoded else None)},
            **_bytes(self._wire_bytes, self.encoded),
            "rss_mb": _rounded(resident_mb(), 1),
        }

    def _counts(self, now: float) -> dict[str, Any]:
        return {
            "seconds": round(now - self._begin, 2),
            "read": self._feed.read,
            "encoded": self.encoded,
            "dropped": self._feed.dropped,
            "damaged": self.damaged,
            "failed": self.failed,
        }


def _bytes(wire: int, count: int) -> dict[str, float | None]:
    mean = wire / count if count else None
    return {
        "payload_bytes_mean": _rounded(None if mean is None else mean - HEADER_BYTES, 1),
        "wire_bytes_mean": _rounded(mean, 1),
    }


def _rounded(value: float | None, digits: int = 2) -> float | None:
    return None if value is None else round(float(value), digits)


def line(said: dict[str, Any]) -> str:
    """One line of ``--stats`` for people."""
    latency, rss = said["latency_ms"], said["rss_mb"]
    parts = [f"{said['seconds']:.0f} s", counts(said), f"{said['fps']:.1f} fps"]
    if latency["p50"] is not None:
        parts.append(f"latency p50 {latency['p50']:.1f} p90 {latency['p90']:.1f} ms")
        parts.append(f"{said['payload_bytes_mean']:.0f} payload bytes")
    return "; ".join(parts + ([f"RSS {rss:.1f} MB"] if rss is not None else []))


def counts(said: dict[str, Any]) -> str:
    """Where the frames have gone."""
    return ", ".join(f"{said[name]} {name}" for name in ("read", "encoded", "dropped", "damaged", "failed"))
