"""What a machine tells, read from trees laid out as its kernel lays them out."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from profiling import device, weather
from profiling.weather import Counters


def test_the_peak_is_of_this_process_alone(machine):
    machine("proc/self/status", "Name:\tpython\nVmPeak:\t  999999 kB\nVmHWM:\t   51200 kB\n")
    assert device.peak_rss_mb() == 50.0
    machine("proc/self/status", "Name:\tpython\n")
    assert device.peak_rss_mb() > 10, "what else the system tells"


def test_what_the_machine_does_not_tell_is_absent(machine):
    assert device.facts("x")["governor"] is None
    now = weather.state()
    assert (now["celsius"], now["megahertz"], now["limits"]) == (None, None, None)
    counted = Counters.now()
    assert (counted.ran_s, counted.waited_s, counted.stolen_s, counted.throttled) == (0, 0, 0, 0)


def test_governor_temperature_and_clock(machine):
    for zone, degrees in (("thermal_zone0", "41500\n"), ("thermal_zone1", "67250\n"), ("thermal_zone2", "broken")):
        machine(f"sys/class/thermal/{zone}/temp", degrees)
    machine("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "ondemand\n")
    machine("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "600000\n")
    machine("sys/devices/system/cpu/cpu3/cpufreq/scaling_cur_freq", "1800000\n")
    assert device.facts("x")["governor"] == "ondemand"
    now = weather.state()
    assert now["celsius"] == 67.25 and now["megahertz"] == 1800, "the hottest zone, the fastest core"


def test_what_the_firmware_of_a_raspberry_pi_holds_back(machine):
    machine("sys/devices/platform/soc/soc:firmware/get_throttled", "50005\n")
    assert weather.state()["limits"] == ["under-voltage", "throttling"]
    machine("sys/devices/platform/soc/soc:firmware/get_throttled", "50000\n")
    assert weather.state()["limits"] == [], "it happened some time since the board was started, not now"


def test_counters_of_processes_hypervisors_heat_and_quotas(machine):
    machine("proc/self/task/7/schedstat", "2000000000 500000000 12\n")
    machine("proc/self/task/8/schedstat", "1000000000 250000000 3\n")
    ticks = os.sysconf("SC_CLK_TCK")
    machine("proc/stat", f"cpu  9 9 9 9 9 9 9 {3 * ticks} 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
    machine("sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count", "4")
    machine("sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count", "2")
    machine("proc/self/cgroup", "0::/box\n")
    machine("sys/fs/cgroup/box/cpu.stat", "usage_usec 5\nnr_periods 9\nnr_throttled 3\n")
    now = Counters.now()
    assert (now.ran_s, now.waited_s, now.stolen_s, now.throttled) == (3.0, 0.75, 3.0, 9)
    later = Counters(now.wall_s + 2, now.ran_s + 1, now.waited_s + 0.5, now.stolen_s, now.throttled + 1)
    seen = Counters()
    seen.add(now, later)
    seen.add(now, later)
    assert (seen.wall_s, seen.ran_s, seen.waited_s, seen.stolen_s, seen.throttled) == (4, 2, 1, 0, 2)


@pytest.mark.parametrize(
    ("seen", "turns", "total", "doubt"),
    [
        (Counters(10, 6, 3), [], [], "shared its core: for 33% of its time"),
        (Counters(10, 6, 0.1, 9), [], [], "the hypervisor kept the cores for 9.0 s of 10.0 s"),
        (Counters(10, 6, 0.1, 0, 2), [], [], "throttled, 2 times"),
        (Counters(), [{"limits": ["throttling"]}, {"limits": []}], [], "the firmware reported throttling"),
        (Counters(), [{"megahertz": 1800.0}, {"megahertz": 1500.0}], [], "clock fell from 1800 to 1500 MHz"),
        (Counters(), [], [5.0] * 20 + [6.5] * 20, "slowed down while it ran: 5 ms at first, 6.5 ms at last"),
    ],
)
def test_doubts(seen, turns, total, doubt, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    (told,) = weather.doubts(seen, turns, total)
    assert doubt in told


def test_nothing_speaks_against_a_quiet_run():
    turns = [{"megahertz": 1800.0, "limits": []}, {"megahertz": 1790.0, "limits": None}, {"megahertz": None}]
    assert weather.doubts(Counters(10, 6, 0.1, 0.2, 0), turns, [5.0] * 40) == []


def _spin(seconds: float) -> None:
    begin = os.times().user
    while os.times().user - begin < seconds:
        pass


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="this kernel does not tell who waited for a core")
def test_sharing_a_core_is_noticed():
    """For real: another process on the only core that both may use."""
    here = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(here)})
    try:
        other = multiprocessing.get_context("fork").Process(target=_spin, args=(5,))
        other.start()
        before = Counters.now()
        _spin(0.5)
        seen = Counters()
        seen.add(before, Counters.now())
        other.kill()
        other.join()
    finally:
        os.sched_setaffinity(0, here)
    assert any("shared its core" in doubt for doubt in weather.doubts(seen, [], []))
