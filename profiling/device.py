"""What a record says of the machine it was made on."""

from __future__ import annotations

import os
import platform
import resource
import sys
from pathlib import Path
from typing import Any

from profiling import sysfs
from profiling.sysfs import text


def facts(name: str) -> dict[str, Any]:
    """The name comes from the user; the rest from the machine, and is None where it does not tell."""
    return {
        "name": name,
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "governor": text(sysfs.SYSTEM / "devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "ram_mb": _ram_mb(),
        "os": platform.platform(),
        "python": platform.python_version(),
    }


def peak_rss_mb() -> float:
    """Largest resident size of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)


def _ram_mb() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    except (ValueError, OSError):
        return None


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.lower().startswith(("model name", "hardware")):
                return line.partition(":")[2].strip()
    # ARM's kernels name no model there; boards name themselves in the device tree.
    board = text(Path("/proc/device-tree/model"))
    return (board or "").rstrip("\0") or platform.processor() or platform.machine()
