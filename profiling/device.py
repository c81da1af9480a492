"""What a record says of the machine it was made on, and of what happened to it meanwhile."""

from __future__ import annotations

import os
import platform
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

#: Fractions of a core that may be busy with something else.
_SPARE = 0.5
#: A run whose last quarter is slower than its first by this much was slowed down.
_SLOWER = 1.15
_SYSTEM = Path("/sys")


def facts(name: str) -> dict[str, Any]:
    """The name comes from the user; the rest from the machine, and is None where it does not tell."""
    return {
        "name": name,
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "governor": _read(_SYSTEM / "devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "ram_mb": _ram_mb(),
        "os": platform.platform(),
        "python": platform.python_version(),
    }


def state() -> dict[str, float | None]:
    """What may change while something is measured: degrees Celsius, megahertz, how many processes want a core."""
    zones = [_read(file) for file in (_SYSTEM / "class/thermal").glob("thermal_zone*/temp")]
    degrees = [int(zone) / 1000 for zone in zones if zone and zone.lstrip("-").isdigit()]
    frequency = _read(_SYSTEM / "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq")
    return {
        "celsius": max(degrees, default=None),
        "megahertz": int(frequency) / 1000 if frequency and frequency.isdigit() else None,
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def doubts(before: dict[str, float | None], total: Sequence[float]) -> list[str]:
    """Why the figures of a run may not be the machine's best; empty where nothing speaks against them."""
    found = []
    load, cores = before["load"], os.cpu_count() or 1
    if load is not None and load > cores - 1 + _SPARE:
        found.append(f"other work was running: load {load:g} on {cores} cores before it began")
    quarter = len(total) // 4
    if quarter >= 4:
        first, last = (sorted(part)[quarter // 2] for part in (total[:quarter], total[-quarter:]))
        if last > _SLOWER * first:
            found.append(f"it slowed down while it ran: {first:.3g} ms at first, {last:.3g} ms at last")
    return found


def peak_rss_mb() -> float:
    """Largest resident size of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)


def _ram_mb() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    except (ValueError, OSError):
        return None


def _read(file: Path) -> str | None:
    try:
        return file.read_text().strip()
    except OSError:
        return None


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.lower().startswith(("model name", "hardware")):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
