"""Instructions instead of milliseconds: what range coding and preprocessing cost, told alike by a busy machine.

    python -m benchmarks.instructions [--keep] [--emulated PYTHON --qemu QEMU]

Counts of each stage, as its callers meet it: with the Python around it, without the network. Beside each stands the
count in benchmarks/instructions.json, which --keep writes, and the change. The symbols are ours_n4's of a photograph,
the pictures those of benchmarks/preprocess.py.

On x86-64 valgrind counts (apt-get install valgrind). For aarch64, QEMU's user-mode emulation does, with
counting_plugin.c: --emulated names an aarch64 Python at ROOT/usr/bin that has splitport-runtime, --qemu a dynamic
qemu-aarch64 of version 7 or 8 (a static one loads no plugins). Instructions are not time: caches, memory and how many
run at once are left out.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

RECORD = Path(__file__).with_suffix(".json")
#: How often each stage runs; the median counts.
RUNS = 5
#: Python from 3.11 on rewrites its own code while it runs: after about eight calls of a stage it settles.
_SETTLED = 16
#: The emulated core: a Raspberry Pi 5's.
CORE = "cortex-a76"


@dataclass(frozen=True)
class Counts:
    """Instructions of every run of each stage, and the versions that they depend on."""

    runs: dict[str, list[int]]
    facts: dict[str, str]

    def medians(self) -> dict[str, int]:
        return {stage: int(statistics.median(runs)) for stage, runs in self.runs.items()}


def _coding(folder: Path) -> dict[str, Callable[[], object]]:
    """Stages of each message (.npy) with the tables, in each codec that they serve."""
    from runtime import codecs
    from runtime.codecs import Message
    from runtime.tables import Tables

    stages: dict[str, Callable[[], object]] = {}
    with np.load(folder / "tables.npz") as arrays:
        tables = Tables.from_arrays(dict(arrays))
    for path in sorted(folder.glob("*.npy")):
        message = Message(np.load(path))
        grid = message.symbols.shape[1:]
        for way, kind in {"plain": "factorized", "contexts": "context"}.items():
            if kind == "factorized" or tables.contexts is not None:
                codec = codecs.make(kind, tables, "native")
                body, plain = codec.encode(message)
                stages[f"{path.stem}, {way}: encode"] = partial(codec.encode, message)
                stages[f"{path.stem}, {way}: decode"] = partial(codec.decode, body, grid, plain)
    return stages


def _preprocessing(folder: Path) -> dict[str, Callable[[], object]]:
    """Stages of each picture (.jpg): from its file, and from its pixels in memory."""
    from PIL import Image

    from runtime.preprocess import to_pixels

    stages: dict[str, Callable[[], object]] = {}
    for path in sorted(folder.glob("*.jpg")):
        image = Image.open(path)
        image.load()
        stages[f"{path.stem}: file to pixels"] = partial(to_pixels, path, 224)
        stages[f"{path.stem}: image to pixels"] = partial(to_pixels, image, 224)
    return stages


def _work(folder: Path) -> None:
    """The side that is counted. It calls getpgid, which nothing else does, after every run."""
    coding, preprocessing = _coding(folder), _preprocessing(folder)
    for action in [*coding.values()] * _SETTLED:
        action()
    stages = coding | preprocessing
    gc.disable()
    for action in stages.values():
        for _ in range(1 + RUNS):
            action()
            os.getpgid(0)
    print(json.dumps({"stages": list(stages), "facts": _versions()}))


def _versions() -> dict[str, str]:
    import PIL
    from PIL import features

    from runtime.coder.native import LIBRARY

    compilers = re.findall(rb"(?:GCC: \([^)]*\)|clang version) [\d.]+", Path(LIBRARY._name).read_bytes())
    return {
        "machine": platform.machine(),
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "Pillow": PIL.__version__,
        "libjpeg-turbo": str(features.version("libjpeg_turbo")),
        "compiler": ", ".join(sorted({name.decode() for name in compilers})) or "unknown",
    }


def count(folder: Path, emulated: Path | None = None, qemu: str = "") -> Counts:
    """Count what is in a folder; under emulation where an interpreter for it is named."""
    with tempfile.TemporaryDirectory() as scratch:
        if emulated:
            out, told = _under_qemu(folder, emulated, qemu, Path(scratch))
        else:
            out, told = _under_valgrind(folder, Path(scratch))
    # The first run of a stage loads what it needs, and what was before it is counted with it.
    deltas = np.array(out).reshape(len(told["stages"]), 1 + RUNS)[:, 1:].tolist()
    facts = {**told["facts"], **_counter(qemu if emulated else "valgrind"), "workload": _checksum(folder)}
    return Counts(dict(zip(told["stages"], deltas, strict=True)), facts)


def _under_valgrind(folder: Path, scratch: Path) -> tuple[list[int], dict[str, Any]]:
    """Callgrind writes a part of its profile at each call of getpgid: what ran since the one before."""
    command = ["valgrind", "--tool=callgrind", "--dump-before=getpgid", f"--callgrind-out-file={scratch / 'part'}"]
    told = _run([*command, sys.executable], folder, {"PYTHONPATH": str(RECORD.parents[1])})
    parts = sorted(scratch.glob("part.*"), key=lambda part: int(part.suffix[1:]))
    return [int(re.findall(r"^totals: (\d+)$", part.read_text(), re.M)[0]) for part in parts], told


def _under_qemu(folder: Path, python: Path, qemu: str, scratch: Path) -> tuple[list[int], dict[str, Any]]:
    plugin, out = scratch / "counting.so", scratch / "counted"
    source = Path(__file__).with_name("counting_plugin.c")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", plugin, source], check=True)
    root = python.parents[2]
    command = [qemu, "-cpu", CORE, "-L", str(root), "-plugin", f"{plugin},out={out}", str(python)]
    told = _run(command, folder, {"PYTHONHOME": str(root / "usr")})
    return np.diff([0, *map(int, out.read_text().split())]).tolist(), told


def _run(command: list[str], folder: Path, more: dict[str, str]) -> dict[str, Any]:
    fixed = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "SPLITPORT_WORKER": "1"}
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | fixed | more
    whole = [*command, "-W", "ignore", __file__, str(folder)]
    done = subprocess.run(whole, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{' '.join(whole)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def _counter(program: str) -> dict[str, str]:
    """Who counted, and what decides which of several compiled loops run."""
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split("\n")[0]
    if program != "valgrind":
        return {"counter": version, "core": CORE}
    # Valgrind knows AVX2 but no AVX-512, whatever the host has beyond it.
    return {"counter": version, "core": "AVX2" if " avx2 " in Path("/proc/cpuinfo").read_text() else "without AVX2"}


def _checksum(folder: Path) -> str:
    """Of all messages, tables and pictures, so that a change of these is not taken for one of the program."""
    files = sorted(path for path in folder.iterdir() if path.suffix in (".npy", ".npz", ".jpg"))
    return f"{zlib.crc32(b''.join(path.read_bytes() for path in files)):08x}"


def prepare(folder: Path) -> None:
    """Real symbols, tables with contexts fitted to pieces of other pictures, and pictures."""
    from benchmarks.preprocess import enlarged, photographs, snap
    from calibration.builtin import builtin
    from calibration.refit import fitted
    from export import Request, export
    from runtime import Encoder

    photograph = photographs()[1]
    with tempfile.TemporaryDirectory() as scratch:
        encoder = Encoder.open(export(Request("ours_n4", "onnx", output=Path(scratch) / "bundle")).path, threads=1)
        np.save(folder / "ours_n4.npy", encoder.symbols(photograph))
        pieces = [encoder.symbols(pixels) for pixels in builtin(40, 224).pixels]
        _, tables = fitted("context", encoder.bundle.tables, pieces)
    np.savez(folder / "tables.npz", **tables.arrays())
    shutil.copy(photograph, folder / "640x427.jpg")
    snap(enlarged(4000, 3000), folder / "4000x3000.jpg")


def table(now: Counts, before: dict[str, Any]) -> list[str]:
    """Markdown: counts, what was kept and the change; then what else is different from when it was kept."""
    kept, facts = before.get("instructions", {}), before.get("facts", {})
    lines = ["| stage | instructions | runs differ by | before | change |", "|---|---|---|---|---|"]
    for stage, median in now.medians().items():
        runs, old = now.runs[stage], kept.get(stage)
        change = f"{old:,} | {100 * (median / old - 1):+.2f} %" if old else "|"
        lines.append(f"| {stage} | {median:,} | {100 * (max(runs) - min(runs)) / median:.3f} % | {change} |")
    others = [
        f"{name} {facts[name]}, now {now.facts.get(name)}" for name in facts if facts[name] != now.facts.get(name)
    ]
    return [*lines, "", *(f"Compared with other versions: {other}" for other in others)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="write the counts, to be compared with from now on")
    parser.add_argument("--emulated", type=Path, metavar="PYTHON", help="ROOT/usr/bin/python3 of an aarch64 system")
    parser.add_argument("--qemu", default="qemu-aarch64", metavar="QEMU", help="default: %(default)s")
    args = parser.parse_args()
    if needed := shutil.which(args.qemu if args.emulated else "valgrind"):
        records = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    else:
        raise SystemExit("apt-get install " + ("qemu-user" if args.emulated else "valgrind"))
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        counted = count(Path(folder), args.emulated and args.emulated.resolve(), needed)
    machine = counted.facts["machine"] + (", emulated" if args.emulated else "")
    print(f"\n{machine}: {', '.join(f'{name} {value}' for name, value in counted.facts.items())}\n")
    print("\n".join(table(counted, records.get(machine, {}))))
    if args.keep:
        records[machine] = {"facts": counted.facts, "instructions": counted.medians()}
        RECORD.write_text(json.dumps(records, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    _work(Path(sys.argv[1])) if os.environ.get("SPLITPORT_WORKER") == "1" else main()
