"""Start-up: seconds from a fresh interpreter's first import of the runtime to its first payload.

    python -m benchmarks.cold [BUNDLE...] [--runs 9]

Each run is a process of its own; medians are printed. The files are in the page cache, as on any second start.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

_PROGRAM = """
import sys, time
stamps = [time.perf_counter()]
import runtime
stamps.append(time.perf_counter())
encoder = runtime.Encoder.open(sys.argv[1], threads=1)
stamps.append(time.perf_counter())
import numpy
encoder.encode(numpy.zeros((224, 224, 3), numpy.uint8))
stamps.append(time.perf_counter())
print(*(1e3 * (b - a) for a, b in zip(stamps, stamps[1:])))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundles", type=Path, nargs="*")
    parser.add_argument("--runs", type=int, default=9)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print("| bundle | import runtime ms | Encoder.open ms | first encode ms | open + first encode ms |")
        print("|---|---|---|---|---|")
        for bundle in args.bundles or _exported(Path(folder)):
            runs = []
            for _ in range(args.runs):
                command = [sys.executable, "-W", "ignore", "-c", _PROGRAM, str(bundle)]
                output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                runs.append([float(word) for word in output.splitlines()[-1].split()])
            load, opened, first = (statistics.median(column) for column in zip(*runs, strict=True))
            print(f"| {bundle.name} | {load:.0f} | {opened:.0f} | {first:.1f} | {opened + first:.0f} |", flush=True)


def _exported(folder: Path) -> list[Path]:
    from export import Request, export
    from export.targets import TARGETS

    return [export(Request("ours_n4", target, output=folder / f"ours_n4-{target}")).path for target in TARGETS]


if __name__ == "__main__":
    main()
