"""How often a frame may be taken."""

from __future__ import annotations


class Pace:
    """Moments ``1 / rate`` apart. Being a little late shifts no later moment, so nothing drifts; after a whole moment
    was missed they begin anew, so nothing is made up for in a burst."""

    def __init__(self, rate: float | None) -> None:
        self._period = 1 / rate if rate else 0.0
        self._next = float("-inf")

    def due(self, now: float) -> float:
        """Seconds until a frame may be taken."""
        return max(0.0, self._next - now)

    def took(self, now: float) -> None:
        """A frame was taken."""
        following = self._next + self._period
        self._next = following if now < following else now + self._period
