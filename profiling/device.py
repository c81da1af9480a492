"""What a record says of the machine it was made on."""

from __future__ import annotations

import os
import platform
import resource
import sys
from typing import Any

from runtime import board, sysfs
from runtime.sysfs import text


def facts(name: str) -> dict[str, Any]:
    """The name comes from the user; the rest from the machine, and is None where it does not tell."""
    return {
        "name": name,
        "cpu": board.model() or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "governor": text(sysfs.SYSTEM / "devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "ram_mb": _ram_mb(),
        "os": platform.platform(),
        "python": platform.python_version(),
    }


def peak_rss_mb() -> float:
    """Largest resident size of this process so far."""
    for line in (text(sysfs.PROCESSES / "self/status") or "").splitlines():
        if line.startswith("VmHWM:"):  # of this program alone; getrusage counts what the process was before it, too
            return round(int(line.split()[1]) / 1024, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)


def _ram_mb() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    except (ValueError, OSError):
        return None
