"""Energy, where a board tells it: RAPL on Intel and AMD, the INA3221 of Jetson boards, the Raspberry Pi 5's PMIC.

Read by the process that waits, never by the one that is measured. Nothing is guessed: where no sensor is found, may
be read, or spoke often enough while something was measured, there is no figure.
"""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any, Protocol

from runtime import sysfs
from runtime.sysfs import number, text

#: Fewer readings than these are no average.
_ENOUGH = 10


class Account(Protocol):
    """What one bundle takes, over all its turns."""

    @contextmanager
    def during(self) -> Iterator[None]:
        """Count what is taken meanwhile."""
        ...

    def each(self, runs: int) -> dict[str, Any] | None:
        """Joules of each of so many encodes, for a record; None where too little was told."""
        ...


#: Opens an account.
Source = Callable[[], Account]


def find() -> Source | None:
    """The board's own meter."""
    return next((source for look in (_rapl, _ina3221, _pmic) if (source := look()) is not None), None)


class Counted:
    """By registers that count microjoules, and start again at their range."""

    def __init__(self, name: str, read: Callable[[], list[int]], ranges: list[int]) -> None:
        self._name, self._read, self._ranges = name, read, ranges
        self._joules = self._seconds = 0.0

    @contextmanager
    def during(self) -> Iterator[None]:
        """See :class:`Account`."""
        before, begin = self._read(), perf_counter()
        yield
        self._seconds += perf_counter() - begin
        moved = zip(before, self._read(), self._ranges, strict=True)
        self._joules += sum((b - a) % (limit + 1) for a, b, limit in moved) / 1e6

    def each(self, runs: int) -> dict[str, Any] | None:
        """See :class:`Account`."""
        return _told(self._name, self._joules / self._seconds, self._joules / runs) if self._joules and runs else None


class Sampled:
    """By a sensor that tells watts, asked again and again by a thread."""

    def __init__(self, name: str, watts: Callable[[], float | None], interval: float) -> None:
        self._name, self._watts, self._interval = name, watts, interval
        self._seconds, self._readings = 0.0, list[float]()

    @contextmanager
    def during(self) -> Iterator[None]:
        """See :class:`Account`."""
        over = threading.Event()

        def sample() -> None:
            while not over.wait(self._interval):
                watts = self._watts()
                if watts is not None and not over.is_set():
                    self._readings.append(watts)

        thread, begin = threading.Thread(target=sample, daemon=True), perf_counter()
        thread.start()
        try:
            yield
        finally:
            self._seconds += perf_counter() - begin
            over.set()
            thread.join()

    def each(self, runs: int) -> dict[str, Any] | None:
        """See :class:`Account`."""
        if len(self._readings) < _ENOUGH or not runs:
            return None
        watts = statistics.fmean(self._readings)
        return _told(self._name, watts, watts * self._seconds / runs)


def _told(source: str, watts: float, joules: float) -> dict[str, Any]:
    return {"joules": float(f"{joules:.4g}"), "watts": float(f"{watts:.4g}"), "source": source}


def _rapl() -> Source | None:
    zones = [
        zone
        for zone in sorted((sysfs.SYSTEM / "class/powercap").glob("intel-rapl:*"))
        if (text(zone / "name") or "").startswith("package")
    ]

    def read() -> list[int]:
        return [n for zone in zones if (n := number(zone / "energy_uj")) is not None]

    ranges = [n for zone in zones if (n := number(zone / "max_energy_range_uj")) is not None]
    # Since 2020 kernels let only root read it.
    if not zones or not len(read()) == len(ranges) == len(zones):
        return None
    return lambda: Counted("RAPL, CPU packages", read, ranges)


def _ina3221() -> Source | None:
    rails = []
    for chip in sorted((sysfs.SYSTEM / "class/hwmon").glob("hwmon*")):
        if text(chip / "name") == "ina3221":
            rails += [(text(chip / f"in{n}_label") or "", chip, n) for n in (1, 2, 3)]
    named = [rail for rail in rails if rail[0] not in ("", "NC")]
    # VDD_IN is what the whole module takes; boards without it tell rails that add up to less.
    chosen = [rail for rail in named if rail[0] == "VDD_IN"] or named

    def watts() -> float | None:
        told = [(number(chip / f"in{n}_input"), number(chip / f"curr{n}_input")) for _, chip, n in chosen]
        return sum(v * a for v, a in told if v is not None and a is not None) / 1e6 if told else None

    name = f"INA3221, {'+'.join(rail[0] for rail in chosen)}"
    return (lambda: Sampled(name, watts, 0.005)) if chosen else None


def _pmic() -> Source | None:
    command = shutil.which("vcgencmd")

    def watts() -> float | None:
        done = subprocess.run([command or "", "pmic_read_adc"], capture_output=True, text=True, check=False)
        told = {name: float(value) for name, value in re.findall(r"(\w+_[AV]) \w+\(\d+\)=([\d.]+)[AV]", done.stdout)}
        rails = {name[:-2] for name in told if f"{name[:-2]}_A" in told and f"{name[:-2]}_V" in told}
        return sum(told[f"{rail}_A"] * told[f"{rail}_V"] for rail in rails) if rails else None

    if command is None or watts() is None:  # earlier boards have the command, not the sensor
        return None
    return lambda: Sampled("PMIC rails, without what the converters lose", watts, 0.02)
