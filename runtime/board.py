"""What a machine is, and what holds it back at this moment, as far as its kernel and its firmware tell.

Everything comes from small files below /sys and /proc. What a machine does not tell is None or empty: nothing here
guesses. A Raspberry Pi tells its under-voltage through its firmware or, with a kernel from upstream, through a sensor.
"""

from __future__ import annotations

import math
import os
import platform
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

from runtime import sysfs
from runtime.sysfs import number, text

#: Bits that a Raspberry Pi's firmware sets while they hold; 16 bits further up it keeps that they once held.
FIRMWARE = ("under-voltage", "a capped clock", "throttling", "its soft temperature limit")
_SINCE_START = 16
#: ELF's number of a machine -> how the kernel's name for it begins. A 64-bit kernel runs 32-bit programs by itself.
_MACHINES = {3: ("i", "x86"), 62: ("i", "x86"), 40: ("arm", "aarch64"), 183: ("arm", "aarch64"), 22: ("s390",),
             20: ("ppc",), 21: ("ppc",), 243: ("riscv",)}  # fmt: skip


@dataclass(frozen=True)
class Board:
    """Facts about one machine, and about the process that looked."""

    model: str | None
    """What a board calls itself, or its processor."""
    machine: str
    """Architecture, as the kernel names it."""
    emulator: str | None
    """Program that runs this process, where it gives itself away."""
    bits: int
    """Of this process's pointers; the kernel's may be wider."""
    byteorder: str
    libc: str | None
    cores: int
    granted: int
    """Cores that this process may keep busy, by affinity and by quota."""
    load: float | None
    """Programs that wanted a core, on the average of the last minute."""
    governors: list[str]
    megahertz: float | None
    """Of the fastest core, now."""
    allowed_megahertz: float | None
    """Highest that settings allow."""
    top_megahertz: float | None
    """Highest that the processor could."""
    celsius: dict[str, float]
    """Of each thermal zone."""
    held_back: list[str]
    """What slows the machine down right now."""
    held_back_before: list[str]
    """What did so at some time since it was started."""
    ram_mb: int | None
    free_mb: int | None
    nvidia: bool
    """A graphics processor that CUDA is for; a Jetson's counts."""


def look() -> Board:
    """This machine, now."""
    system, processes = sysfs.SYSTEM, sysfs.PROCESSES
    cores = os.cpu_count() or 1
    now, before = _limits_of_firmware()
    memory = _memory()
    load = (text(processes / "loadavg") or "").split()
    return Board(
        model=model(),
        machine=platform.machine(),
        emulator=_emulator(),
        bits=8 * struct.calcsize("P"),
        byteorder=sys.byteorder,
        libc=_libc(),
        cores=cores,
        granted=_granted(cores),
        load=float(load[0]) if load else None,
        governors=sorted({g for f in _cpufreq("scaling_governor") if (g := text(f))}),
        megahertz=_clock("scaling_cur_freq"),
        allowed_megahertz=_clock("scaling_max_freq"),
        top_megahertz=_clock("cpuinfo_max_freq"),
        celsius=_celsius(),
        held_back=[*(now or []), *_under_voltage(), *_cooling()],
        held_back_before=[each for each in before if each not in (now or [])],
        ram_mb=memory.get("MemTotal"),
        free_mb=memory.get("MemAvailable"),
        nvidia=(processes / "driver/nvidia/version").exists() or (system / "module/nvgpu").exists(),
    )


def model() -> str | None:
    """What a board calls itself in its device tree, or what its processor is called."""
    if named := (text(sysfs.PROCESSES / "device-tree/model") or "").rstrip("\0"):
        return named
    for line in (text(sysfs.PROCESSES / "cpuinfo") or "").splitlines():
        if line.lower().startswith(("model name", "hardware")):
            return line.partition(":")[2].strip()
    return None


def limits() -> list[str] | None:
    """What a Raspberry Pi's firmware holds back now; None on machines that have no such firmware."""
    return _limits_of_firmware()[0]


def _limits_of_firmware() -> tuple[list[str] | None, list[str]]:
    for file in (sysfs.SYSTEM / "devices/platform").glob("soc*/*firmware/get_throttled"):
        bits = int(text(file) or "0", 16)
        now, before = (
            [name for bit, name in enumerate(FIRMWARE, start) if bits >> bit & 1] for start in (0, _SINCE_START)
        )
        return now, before
    return None, []


def _under_voltage() -> list[str]:
    """The same alarm where only the sensor tells it."""
    if limits() is not None:
        return []
    chips = (sysfs.SYSTEM / "class/hwmon").glob("hwmon*")
    alarmed = [chip for chip in chips if text(chip / "name") == "rpi_volt" and number(chip / "in0_lcrit_alarm")]
    return [FIRMWARE[0]] if alarmed else []


def _cooling() -> list[str]:
    """The kernel cools a processor by taking away from its clock."""
    devices = (sysfs.SYSTEM / "class/thermal").glob("cooling_device*")
    slowed = [each for each in devices if "cpufreq" in (text(each / "type") or "") and number(each / "cur_state")]
    return ["a clock lowered for heat"] if slowed else []


def _celsius() -> dict[str, float]:
    found: dict[str, float] = {}
    for zone in sorted((sysfs.SYSTEM / "class/thermal").glob("thermal_zone*")):
        if (degrees := number(zone / "temp")) is not None:
            name = text(zone / "type") or zone.name
            found[name] = max(degrees / 1000, found.get(name, -273.0))
    return found


def _cpufreq(name: str) -> list[Path]:
    return sorted((sysfs.SYSTEM / "devices/system/cpu").glob(f"cpu[0-9]*/cpufreq/{name}"))


def _clock(name: str) -> float | None:
    return max((hertz / 1000 for file in _cpufreq(name) if (hertz := number(file))), default=None)


def _memory() -> dict[str, int]:
    """MiB by the kernel's name."""
    lines = (line.split() for line in (text(sysfs.PROCESSES / "meminfo") or "").splitlines())
    return {words[0].rstrip(":"): int(words[1]) >> 10 for words in lines if len(words) == 3}


def _granted(cores: int) -> int:
    if hasattr(os, "sched_getaffinity"):
        cores = min(cores, len(os.sched_getaffinity(0)))
    group = (text(sysfs.PROCESSES / "self/cgroup") or "").rpartition("::")[2].strip("/")
    quota, _, period = (text(sysfs.SYSTEM / "fs/cgroup" / group / "cpu.max") or "").partition(" ")
    return min(cores, max(1, math.ceil(int(quota) / int(period)))) if quota.isdecimal() and period else cores


def _libc() -> str | None:
    """With its version; other libraries than glibc do not tell one."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except (AttributeError, ValueError, OSError):
        return None


def _emulator() -> str | None:
    """An emulator shows its guest the guest's own program as /proc/self/exe; by this other way the kernel shows it."""
    real = sysfs.PROCESSES / "thread-self/exe"
    try:
        with real.open("rb") as file:
            head = file.read(20)
    except OSError:
        return None
    if len(head) < 20 or head[:4] != b"\x7fELF":
        return None
    known = _MACHINES.get(int.from_bytes(head[18:20], "little" if head[5] == 1 else "big"))
    if known is None or platform.machine().startswith(known):
        return None
    try:
        return real.readlink().name
    except OSError:
        return "an emulator"
