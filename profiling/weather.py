"""What happens to a machine and to this process while something is measured, and which of it makes figures doubtful.

Everything comes from the kernel's own counters. What a machine does not tell is None, and raises no doubt.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from time import perf_counter
from typing import Any

from runtime import sysfs
from runtime.board import limits
from runtime.sysfs import numbers, text

#: A run whose last quarter is slower than its first by this much was slowed down.
_SLOWER = 1.15
#: The clock may fall this far below its highest before that counts.
_CLOCK = 0.9
#: Share of its time that a process may wait for a core, and a hypervisor may keep the cores, unmentioned.
_WAIT = 0.05


def state() -> dict[str, Any]:
    """What may change: degrees Celsius, megahertz, how many processes want a core, what the firmware holds back."""
    degrees = [each / 1000 for each in numbers(sysfs.SYSTEM / "class/thermal", "thermal_zone*/temp")]
    clocks = numbers(sysfs.SYSTEM / "devices/system/cpu", "cpu*/cpufreq/scaling_cur_freq")
    return {
        "celsius": max(degrees, default=None),
        "megahertz": max(clocks, default=0) / 1000 or None,
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "limits": limits(),
    }


@dataclass
class Counters:
    """What this process and its machine went through, from some beginning on."""

    wall_s: float = 0.0
    ran_s: float = 0.0
    waited_s: float = 0.0
    """Ready to run, while something else had the core."""
    stolen_s: float = 0.0
    """Of all cores together, what a hypervisor gave to others."""
    throttled: int = 0
    """How often a core was slowed down for its heat, or this group of processes for its quota."""

    @classmethod
    def now(cls) -> Counters:
        """Since the machine or the process started."""
        ran, waited = _scheduled()
        cores = numbers(sysfs.SYSTEM / "devices/system/cpu", "cpu*/thermal_throttle/core_throttle_count")
        return cls(perf_counter(), ran, waited, _stolen(), sum(cores) + _quota())

    def add(self, before: Counters, after: Counters) -> None:
        """What lies between two moments."""
        for each in fields(self):
            name = each.name
            setattr(self, name, getattr(self, name) + getattr(after, name) - getattr(before, name))


def doubts(seen: Counters, turns: Sequence[dict[str, Any]], total: Sequence[float]) -> list[str]:
    """Why the figures of a run may not be the machine's best; empty where nothing speaks against them."""
    found = []
    if seen.waited_s > _WAIT * (seen.ran_s + seen.waited_s):
        share = seen.waited_s / (seen.ran_s + seen.waited_s)
        found.append(f"it shared its core: for {share:.0%} of its time something else ran there")
    if seen.stolen_s > _WAIT * seen.wall_s * (os.cpu_count() or 1):
        found.append(f"the hypervisor kept the cores for {seen.stolen_s:.1f} s of {seen.wall_s:.1f} s")
    if seen.throttled:
        found.append(f"it was throttled, {seen.throttled} times")
    if reported := sorted({limit for turn in turns for limit in turn.get("limits") or ()}):
        found.append(f"the firmware reported {' and '.join(reported)}")
    return [*found, *_slowed(turns, total)]


def _slowed(turns: Sequence[dict[str, Any]], total: Sequence[float]) -> Iterable[str]:
    clocks = [turn["megahertz"] for turn in turns if turn.get("megahertz")]
    if clocks and clocks[-1] < _CLOCK * max(clocks):
        yield f"its clock fell from {max(clocks):.0f} to {clocks[-1]:.0f} MHz"
    quarter = len(total) // 4
    if quarter >= 4:
        first, last = (sorted(part)[quarter // 2] for part in (total[:quarter], total[-quarter:]))
        if last > _SLOWER * first:
            yield f"it slowed down while it ran: {first:.3g} ms at first, {last:.3g} ms at last"


def _scheduled() -> tuple[float, float]:
    """Seconds that the threads of this process ran, and were kept waiting for a core."""
    ran = waited = 0
    for file in (sysfs.PROCESSES / "self/task").glob("*/schedstat"):
        told = (text(file) or "").split()  # nanoseconds run, nanoseconds waited, turns
        if len(told) == 3:
            ran, waited = ran + int(told[0]), waited + int(told[1])
    return ran / 1e9, waited / 1e9


def _stolen() -> float:
    first = (text(sysfs.PROCESSES / "stat") or "").partition("\n")[0].split()
    return int(first[8]) / os.sysconf("SC_CLK_TCK") if len(first) > 8 else 0.0


def _quota() -> int:
    """How often a container's limit stopped it."""
    group = (text(sysfs.PROCESSES / "self/cgroup") or "").rpartition("::")[2].strip("/")
    for line in (text(sysfs.SYSTEM / "fs/cgroup" / group / "cpu.stat") or "").splitlines():
        name, _, value = line.partition(" ")
        if name == "nr_throttled":
            return int(value)
    return 0
