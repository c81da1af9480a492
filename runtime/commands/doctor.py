"""``doctor``: what is installed here, what is missing, what would be slow and why."""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from runtime import board, coder
from runtime.board import Board
from runtime.cli import Report
from runtime.engines import ENGINES, EngineSpec, gpu_wheel

_SPEED = {
    "native": "fastest",
    "constriction": "about ten times slower than native, still under a millisecond or two",
    "reference": "pure Python: tens of milliseconds a picture",
}
#: Least glibc that the engines' wheels for Linux on ARM ask for. OpenVINO's is newer than many boards.
_GLIBC = {"litert": (2, 27), "onnxruntime": (2, 28), "executorch": (2, 28), "openvino": (2, 35)}
#: A clock under these rises some time after the work has begun, or not at all.
_LAZY = {"powersave", "ondemand", "conservative", "schedutil"}
#: MiB that an engine, a model and a large photograph need between them.
_ROOM = 256
_REMEDIES = {
    "under-voltage": "use the board's own power supply and a short cable",
    "a capped clock": "see to power and cooling",
    "throttling": "cool the board, or feed it better",
    "its soft temperature limit": "put a heatsink or a fan on it",
    "a clock lowered for heat": "put a heatsink or a fan on it",
}


class Finding(NamedTuple):
    """Something that costs time, and what to do about it."""

    what: str
    remedy: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """This command has no options of its own."""


def run(args: argparse.Namespace) -> Report:
    """Look around without loading any engine."""
    seen = board.look()
    machine = f"{platform.system()} {seen.machine}, {seen.cores} cores"
    coders, there = coder.available(), [e.name for e in ENGINES.values() if e.version]
    engines: dict[str, Any] = {
        e.name: {"version": e.version, "install": e.install, "note": e.note, "providers": providers(e)}
        for e in ENGINES.values()
    }
    found = [*slow_board(seen), *slow_software(seen, coders, there, engines["onnxruntime"]["providers"])]
    lines = [f"Python   {platform.python_version()} on {machine}", *_board_lines(seen), "coders"]
    lines += [f"  {'yes' if name in coders else 'no ':3}  {name:13} {_SPEED[name]}" for name in coder.CODERS]
    lines.append(f"       in use: {coders[0]}")
    if coders[0] != "native":
        lines.append("       native is missing: reinstall where there is a C compiler")
    lines.append("engines")
    lines += [_engine_line(engine, seen) for engine in ENGINES.values()]
    if not there:
        lines.append("       no engine: decoding works, encoding and predicting need one")
    lines.append("slow" if found else "slow     nothing that could be seen")
    lines += [f"  {each.what}: {each.remedy}" for each in found]
    data = {"python": sys.version.split()[0], "machine": machine, "coders": coders, "engines": engines,
            "board": asdict(seen), "coder": coders[0], "slow": [each._asdict() for each in found]}  # fmt: skip
    return Report(lines, data, failures=list(unfit(seen)))


def unfit(seen: Board) -> Iterator[str]:
    """What splitport cannot work with at all."""
    if seen.byteorder != "little":
        yield (
            "this machine is big-endian: the tables of a bundle are stored little-endian and would be read with their "
            "bytes swapped; nothing can be coded here, use a little-endian system"
        )


def slow_board(seen: Board) -> Iterator[Finding]:
    """What the machine itself costs."""
    if seen.emulator:
        yield Finding(
            f"this process runs under {seen.emulator}", "no timing from here is this processor's; measure there"
        )
    for name in seen.held_back:
        yield Finding(f"{name} slows this machine down now", _REMEDIES[name])
    for name in seen.held_back_before:
        yield Finding(f"{name} slowed this machine down since it was started", _REMEDIES[name])
    if lazy := sorted(_LAZY & set(seen.governors)):
        yield Finding(
            f"governor {' and '.join(lazy)}: single pictures meet a low clock",
            "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
        )
    allowed, top = seen.allowed_megahertz, seen.top_megahertz
    if allowed and top and allowed < 0.95 * top:
        remedy = "raise scaling_max_freq; on a Jetson, sudo nvpmodel -q shows the power mode that sets it"
        yield Finding(f"settings hold the clock at {allowed:.0f} of {top:.0f} MHz", remedy)
    if seen.free_mb is not None and seen.free_mb < _ROOM:
        yield Finding(
            f"{seen.free_mb} MB of memory are free: it will swap", "end other programs; LiteRT needs the least"
        )
    if seen.granted < seen.cores:
        yield Finding(
            f"this process may use {seen.granted} of {seen.cores} cores, and an engine starts a thread for each",
            f"--threads {seen.granted}",
        )
    elif seen.load is not None and seen.cores > 1 and seen.load > seen.cores / 2:
        free = max(1, round(seen.cores - seen.load))
        yield Finding(
            f"other programs want {seen.load:g} of {seen.cores} cores, and an engine starts a thread for each",
            f"--threads {free}",
        )


def slow_software(seen: Board, coders: list[str], there: list[str], gpu: list[str]) -> Iterator[Finding]:
    """What is missing or unfortunate in the installation."""
    if coders[0] == "reference":
        prebuilt = seen.machine in ("aarch64", "x86_64")
        wheel, source = (
            "pip install splitport-runtime brings a compiled one",
            "install a C compiler, then splitport anew",
        )
        yield Finding("the range coder is pure Python", wheel if prebuilt else source)
    if seen.bits == 32:
        wide = "a 64-bit kernel" if seen.machine in ("aarch64", "armv8l", "x86_64") else "a 32-bit kernel"
        yield Finding(f"32-bit programs on {wide}: no engine has wheels for them", "install the board's 64-bit system")
    elif seen.libc is None and platform.system() == "Linux":
        yield Finding("this system has no glibc: no engine has wheels for it", "use Debian, Ubuntu or their like")
    elif not there:
        yield Finding("no engine is installed", ENGINES["litert"].install)
    if seen.nvidia and "cuda" not in gpu:
        yield Finding("there is an NVIDIA GPU, and ONNX Runtime without CUDA", gpu_wheel())
    if all(map(_installed, ("onnxruntime", "onnxruntime-gpu"))):
        yield Finding(
            "onnxruntime and onnxruntime-gpu are both installed, and overwrote each other's files",
            "pip uninstall both, then install one",
        )


def providers(engine: EngineSpec) -> list[str]:
    """What an installed engine was built for, seen from its files: importing one takes a second and tens of MB."""
    if not engine.providers or not engine.version:
        return []
    found = importlib.util.find_spec(engine.packages[0])
    folder = Path(found.origin).parent / "capi" if found and found.origin else Path(os.devnull)
    return [name for name in engine.providers if name == engine.providers[0] or _library(folder, name).is_file()]


def _library(folder: Path, provider: str) -> Path:
    return folder / f"libonnxruntime_providers_{provider}.so"


def _installed(distribution: str) -> bool:
    from importlib.metadata import PackageNotFoundError, version  # as runtime.engines does, for the time it costs

    try:
        return bool(version(distribution))
    except PackageNotFoundError:
        return False


def _board_lines(seen: Board) -> Iterator[str]:
    if seen.model:
        yield f"board    {seen.model}"
    emulated = f", emulated by {seen.emulator}" if seen.emulator else ""
    yield f"system   {seen.bits} bit, {seen.byteorder}-endian, {seen.libc or 'no glibc'}{emulated}"
    clock = f", {seen.megahertz:.0f} MHz" if seen.megahertz else ""
    clock += f" of {seen.top_megahertz:.0f}" if seen.megahertz and seen.top_megahertz else ""
    governors = f", governor {' and '.join(seen.governors)}" if seen.governors else ""
    yield f"cores    {seen.granted} of {seen.cores} for this process{governors}{clock}"
    if seen.celsius:
        yield f"heat     {', '.join(f'{zone} {degrees:.0f} °C' for zone, degrees in seen.celsius.items())}"
    if seen.ram_mb and seen.free_mb is not None:
        yield f"memory   {seen.free_mb:,} of {seen.ram_mb:,} MB free"


def _engine_line(engine: EngineSpec, seen: Board) -> str:
    note = f"; {engine.note}" if engine.note else ""
    if engine.version:
        on = f" on {', '.join(providers(engine))}" if engine.providers else ""
        return f"  yes  {engine.name:13} {engine.version} (runs {', '.join(engine.targets)}{on}{note})"
    too_old = no_wheel(engine.name, seen)
    return f"  no   {engine.name:13} {too_old or engine.install} (runs {', '.join(engine.targets)}{note})"


def no_wheel(engine: str, seen: Board) -> str | None:
    """Why pip would find nothing to install on this board; None where it would."""
    least, (name, _, version) = _GLIBC[engine], (seen.libc or "").partition(" ")
    if seen.machine != "aarch64" or name != "glibc" or _numbers(version) >= least:
        return None
    return f"has no wheel for {seen.libc}: it asks for {least[0]}.{least[1]}, take a newer system or another engine"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())
