"""What ``doctor`` tells of boards, read from trees laid out as their kernels lay them out."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from runtime import board, sysfs
from runtime.commands import doctor, main
from runtime.engines import ENGINES

_CPU = "sys/devices/system/cpu"
_ELF = {"aarch64": 183, "arm": 40, "x86_64": 62}


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Writes files of a made-up 64-bit ARM machine with four cores."""
    monkeypatch.setattr(sysfs, "SYSTEM", tmp_path / "sys")
    monkeypatch.setattr(sysfs, "PROCESSES", tmp_path / "proc")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(4)), raising=False)

    def put(name: str, content: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    return put


@pytest.fixture
def quiet_board(machine):
    """A board that tells nothing, and on which nothing is wrong."""
    return replace(board.look(), libc="glibc 2.36", bits=64, byteorder="little")


def said(findings) -> str:
    return "\n".join(f"{each.what}: {each.remedy}" for each in findings)


def raspberry_pi(put) -> None:
    put("proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0")
    put("proc/cpuinfo", "processor\t: 0\nHardware\t: BCM2835\n")
    put("proc/meminfo", "MemTotal:        3884360 kB\nMemAvailable:    3012345 kB\nHugePages_Total:       0\n")
    put("proc/loadavg", "0.31 0.20 0.10 1/180 1234\n")
    put("sys/devices/platform/soc/soc:firmware/get_throttled", "30005\n")
    put("sys/class/thermal/thermal_zone0/temp", "61347\n")
    put("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n")
    put("sys/class/thermal/cooling_device0/type", "gpio-fan\n")
    put("sys/class/thermal/cooling_device0/cur_state", "1\n")
    for core in range(4):
        put(f"{_CPU}/cpu{core}/cpufreq/scaling_governor", "ondemand\n")
        put(f"{_CPU}/cpu{core}/cpufreq/scaling_cur_freq", "600000\n")
        put(f"{_CPU}/cpu{core}/cpufreq/scaling_max_freq", "1800000\n")
        put(f"{_CPU}/cpu{core}/cpufreq/cpuinfo_max_freq", "1800000\n")


def test_raspberry_pi(machine):
    raspberry_pi(machine)
    seen = board.look()
    assert (seen.model, seen.machine, seen.cores, seen.granted) == ("Raspberry Pi 4 Model B Rev 1.4", "aarch64", 4, 4)
    assert (seen.governors, seen.megahertz, seen.top_megahertz) == (["ondemand"], 600, 1800)
    assert seen.celsius == {"cpu-thermal": 61.347} and (seen.ram_mb, seen.free_mb) == (3793, 2941)
    assert seen.held_back == ["under-voltage", "throttling"]
    assert seen.held_back_before == ["a capped clock"], "what holds now is not said twice"
    text = said(doctor.slow_board(seen))
    assert "under-voltage slows this machine down now: use the board's own power supply" in text
    assert "a capped clock slowed this machine down since it was started" in text
    assert "governor ondemand" in text and "echo performance | sudo tee" in text
    assert text.count("\n") == 3, "a fan that turns, a full clock and a small load slow nothing down"


def test_under_voltage_with_an_upstream_kernel(machine):
    machine("sys/class/hwmon/hwmon0/name", "cpu_thermal\n")
    machine("sys/class/hwmon/hwmon1/name", "rpi_volt\n")
    machine("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "0\n")
    assert board.look().held_back == [] and board.limits() is None
    machine("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n")
    assert board.look().held_back == ["under-voltage"]


def test_jetson(machine):
    machine("proc/device-tree/model", "NVIDIA Jetson Orin Nano Developer Kit\0")
    machine("sys/module/nvgpu/initstate", "live\n")
    machine("sys/class/thermal/cooling_device2/type", "thermal-cpufreq-0\n")
    machine("sys/class/thermal/cooling_device2/cur_state", "2\n")
    machine(f"{_CPU}/cpu0/cpufreq/scaling_max_freq", "1190400\n")
    machine(f"{_CPU}/cpu0/cpufreq/cpuinfo_max_freq", "1510400\n")
    seen = board.look()
    assert seen.nvidia and seen.held_back == ["a clock lowered for heat"]
    text = said(doctor.slow_board(seen))
    assert "hold the clock at 1190 of 1510 MHz" in text and "nvpmodel" in text and "a fan" in text
    missing = said(doctor.slow_software(seen, ["native"], ["onnxruntime"], ["cpu"]))
    assert "ONNX Runtime without CUDA" in missing and "the Jetson AI Lab's package index for JetPack 6" in missing
    assert "CUDA" not in said(doctor.slow_software(seen, ["native"], ["onnxruntime"], ["cpu", "cuda"]))


def test_a_machine_that_tells_nothing_is_not_accused(quiet_board):
    assert (quiet_board.model, quiet_board.celsius, quiet_board.load, quiet_board.emulator) == (None, {}, None, None)
    assert not list(doctor.slow_board(quiet_board)) and not list(doctor.unfit(quiet_board))


@pytest.mark.parametrize(
    ("files", "granted", "text"),
    [
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 2, "use 2 of 4 cores"),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "max 100000\n"}, 4, ""),
        ({"proc/loadavg": "2.60 1 1 1/1 1\n"}, 4, "other programs want 2.6 of 4 cores"),
        ({"proc/loadavg": "1.90 1 1 1/1 1\n"}, 4, ""),
    ],
    ids=["quota", "no quota", "load", "little load"],
)
def test_cores_that_are_shared(machine, files, granted, text):
    for name, content in files.items():
        machine(name, content)
    seen = board.look()
    told = said(doctor.slow_board(seen))
    assert seen.granted == granted and (text in told if text else not told)
    assert not text or f"--threads {granted if granted < 4 else 1}" in told


def test_memory_that_is_short(quiet_board):
    assert "120 MB of memory are free" in said(doctor.slow_board(replace(quiet_board, free_mb=120)))
    assert not list(doctor.slow_board(replace(quiet_board, free_mb=4000)))


@pytest.mark.parametrize(
    ("kernel", "program", "named"),
    [
        ("aarch64", "x86_64", "qemu-aarch64-static"), ("aarch64", "aarch64", None), ("aarch64", "arm", None),
        ("x86_64", "aarch64", "qemu-aarch64-static"), ("mips", "mips", None),
    ],
)  # fmt: skip
def test_emulation(machine, monkeypatch, tmp_path, kernel, program, named):
    """The program behind a process is of another architecture than the process believes to be of."""
    monkeypatch.setattr("platform.machine", lambda: kernel)
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + (3).to_bytes(2, "little") + _ELF.get(program, 8).to_bytes(2, "little")
    real, link = tmp_path / "qemu-aarch64-static", tmp_path / "proc/thread-self/exe"
    real.write_bytes(head)
    link.parent.mkdir(parents=True)
    link.symlink_to(real)
    seen = board.look()
    assert seen.emulator == named
    assert ("runs under qemu" in said(doctor.slow_board(seen))) == bool(named)
    real.write_bytes(b"#!/bin/sh\n")
    assert board.look().emulator is None


def test_this_process_is_not_emulated_or_says_by_what():
    seen = board.look()
    assert seen.emulator is None or seen.emulator
    assert seen.cores >= seen.granted >= 1 and seen.bits in (32, 64)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"bits": 32}, "32-bit programs on a 64-bit kernel: no engine has wheels"),
        ({"bits": 32, "machine": "armv7l"}, "32-bit programs on a 32-bit kernel"),
        ({"libc": None}, "has no glibc: no engine has wheels"),
        ({}, "no engine is installed: pip install 'splitport[litert]'"),
    ],
)
def test_systems_without_wheels(quiet_board, monkeypatch, change, text):
    monkeypatch.setattr("platform.system", lambda: "Linux")
    found = said(doctor.slow_software(replace(quiet_board, **change), ["native"], [], []))
    assert text in found and found.count("\n") == 0


def test_old_glibc(quiet_board):
    bullseye = replace(quiet_board, libc="glibc 2.31")
    assert "no wheel for glibc 2.31: it asks for 2.35" in doctor.no_wheel("openvino", bullseye)
    assert doctor.no_wheel("litert", bullseye) is None and doctor.no_wheel("openvino", quiet_board) is None
    assert doctor.no_wheel("openvino", replace(bullseye, machine="x86_64")) is None


def test_pure_python_coder(quiet_board):
    assert "range coder is pure Python" in said(doctor.slow_software(quiet_board, ["reference"], ["litert"], []))
    assert not list(doctor.slow_software(quiet_board, ["native"], ["litert"], []))


def test_two_onnx_runtimes_in_one_place(quiet_board, monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1.23.0")
    assert "both installed" in said(doctor.slow_software(quiet_board, ["native"], ["onnxruntime"], []))


def test_big_endian_is_refused(quiet_board, monkeypatch, capsys):
    big = replace(quiet_board, byteorder="big")
    monkeypatch.setattr(board, "look", lambda: big)
    assert main(["doctor"]) == 1
    out, err = capsys.readouterr()
    assert "big-endian" in out and "nothing can be coded here" in err and err.count("\n") == 1


def test_providers_are_seen_without_importing(tmp_path, monkeypatch):
    folder = tmp_path / "onnxruntime" / "capi"
    folder.mkdir(parents=True)
    spec = ModuleSpec("onnxruntime", None, origin=str(folder.parent / "__init__.py"))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: spec)
    assert doctor.providers(ENGINES["onnxruntime"]) == ["cpu"]
    (folder / "libonnxruntime_providers_shared.so").touch()
    (folder / "libonnxruntime_providers_cuda.so").touch()
    assert doctor.providers(ENGINES["onnxruntime"]) == ["cpu", "cuda"]
    assert doctor.providers(ENGINES["litert"]) == []
    monkeypatch.setattr("runtime.engines.EngineSpec.version", None)
    assert doctor.providers(ENGINES["onnxruntime"]) == []


def test_the_command(machine, capsys):
    raspberry_pi(machine)
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    for line in ("board    Raspberry Pi 4", "heat     cpu-thermal 61 °C", "memory   2,941 of 3,793 MB free",
                 "cores    4 of 4 for this process, governor ondemand, 600 MHz of 1800"):  # fmt: skip
        assert f"{line}" in out
    assert main(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {"python", "machine", "coders", "engines"} <= set(told), "what was told before stays"
    assert told["coder"] == told["coders"][0] and told["board"]["governors"] == ["ondemand"]
    assert any("under-voltage" in each["what"] and each["remedy"] for each in told["slow"])
    assert told["engines"]["onnxruntime"]["providers"][0] == "cpu"


def test_nothing_is_slow(quiet_board, monkeypatch, capsys):
    monkeypatch.setattr(board, "look", lambda: quiet_board)
    monkeypatch.setattr(doctor, "slow_software", lambda *_: iter(()))
    assert main(["doctor"]) == 0 and "slow     nothing that could be seen" in capsys.readouterr().out


def test_no_engine_is_imported():
    import subprocess
    import sys

    program = (
        "import sys; from runtime.commands import main; main(['doctor'])\n"
        "print([m for m in ('onnxruntime', 'openvino', 'ai_edge_litert', 'torch') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.endswith("[]\n") and Path(sys.executable).exists()
