"""An emulated board: a real aarch64 Python of Debian's with real wheels, run by qemu on a processor that boards have.

    python -m tests.aarch64.board FOLDER [WHEEL...]

Nothing is installed on this machine but ``qemu-user-static``, if that is not there: the interpreter's packages are
unpacked into the folder, and wheels are installed into it from the index. What runs there runs as it does on a board,
slowly; how long it takes says nothing about a board.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

QEMU = "qemu-aarch64-static"
PYTHON = "3.11"
#: What a device installs beside splitport's wheel, without what the engines ask for and do not use here.
PACKAGES = (
    *("numpy==2.4.6", "pillow==13.0.0", "safetensors>=0.4.3"),
    *("ai-edge-litert==2.3.0", "onnxruntime==1.31.1", "openvino==2026.4.1"),
    *("typing-extensions", "flatbuffers", "protobuf", "packaging", "tqdm", "backports-strenum"),
)
_ARMV8 = "fp asimd evtstrm aes pmull sha1 sha2 crc32"


@dataclass(frozen=True)
class Processor:
    """As qemu calls it, and as its kernel describes it: engines choose their code by the latter."""

    name: str
    part: str
    features: str

    @property
    def cpuinfo(self) -> str:
        """What ``/proc/cpuinfo`` holds. With this machine's own the engines crash."""
        lines = {
            "processor": "{}",
            "BogoMIPS": "108.00",
            "Features": self.features,
            "CPU implementer": "0x41",
            "CPU architecture": "8",
            "CPU variant": "0x0",
            "CPU part": self.part,
            "CPU revision": "3",
        }
        block = "".join(f"{name}\t: {value}\n" for name, value in lines.items())
        return "\n".join(block.format(core) for core in range(os.cpu_count() or 1)) + "\n"


PROCESSORS = {
    each.name: each
    for each in (
        Processor("cortex-a76", "0xd0b", f"{_ARMV8} atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"),  # Pi 5
        Processor("cortex-a72", "0xd08", f"{_ARMV8} cpuid"),  # Pi 4: no half precision, no dot products
    )
}


def available() -> bool:
    """Is the emulator here?"""
    return shutil.which(QEMU) is not None


def make(folder: Path, wheels: Sequence[Path]) -> dict[str, Path]:
    """Processor -> its Python, with the packages and these wheels."""
    root = folder.resolve() / "root"
    _unpack(root)
    _install(root / "usr/lib/python3/dist-packages", wheels)
    return {name: _interpreter(root, processor) for name, processor in PROCESSORS.items()}


def _unpack(root: Path) -> None:
    """Debian's packages for arm64, by an apt whose state is all in a folder of its own."""
    state = root.with_name("apt")
    for each in ("lists/partial", "archives/partial"):
        (state / each).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    settings = {
        "APT::Architecture": "arm64", "APT::Architectures": "arm64", "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "", "Acquire::Languages": "none", "Dir::State": str(state),
        "Dir::State::status": str(state / "status"), "Dir::Cache": str(state), "Dir::Cache::archives": "archives",
    }  # fmt: skip
    (state / "apt.conf").write_text("".join(f'{name} "{value}";\n' for name, value in settings.items()))
    environment = os.environ | {"APT_CONFIG": str(state / "apt.conf")}
    _run("apt-get", "-q", "update", env=environment)
    _run("apt-get", "-q", "-y", "--download-only", "install", f"python{PYTHON}", "libstdc++6", env=environment)
    for package in sorted((state / "archives").glob("*.deb")):
        _run("dpkg", "-x", str(package), str(root))


def _install(folder: Path, wheels: Sequence[Path]) -> None:
    """Without resolving: pip would judge requirements by this machine, not by the board."""
    platforms = [f"--platform=manylinux_2_{minor}_aarch64" for minor in range(36, 16, -1)]
    _run(
        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--no-deps", "--only-binary=:all:"),
        *("--implementation=cp", f"--python-version={PYTHON}", *platforms, "--platform=manylinux2014_aarch64"),
        *("--upgrade", f"--target={folder}", *PACKAGES, *map(str, wheels)),
    )


def _interpreter(root: Path, processor: Processor) -> Path:
    """A command that is the board's Python, to its own child processes too."""
    own = root.with_name(processor.name)
    (own / "proc").mkdir(parents=True, exist_ok=True)
    (own / "proc/cpuinfo").write_text(processor.cpuinfo)
    (own / "sys/devices/system/cpu").mkdir(parents=True, exist_ok=True)
    for entry in root.iterdir():
        if not (own / entry.name).exists():
            (own / entry.name).symlink_to(entry)
    command = own / "python"
    # OpenVINO asks hwloc for the cores, which stumbles over what this machine's kernel says of its own.
    cores = f"'pack:1 core:{os.cpu_count() or 1} pu:1'"
    command.write_text(
        f"#!/bin/sh\nexec env PYTHONHOME={own}/usr HWLOC_SYNTHETIC={cores} {QEMU} -0 {command} -cpu {processor.name} "
        f'-L {own} {own}/usr/bin/python{PYTHON} "$@"\n'
    )
    command.chmod(0o755)
    return command


def _run(*command: str, env: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:5])} failed:\n{done.stdout[-1000:]}{done.stderr[-2000:]}")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("wheels", type=Path, nargs="*", metavar="WHEEL")
    args = parser.parse_args()
    for name, python in make(args.folder, args.wheels).items():
        print(f"{name}: {python}")


if __name__ == "__main__":
    main()
