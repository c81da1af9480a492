"""Time several programs side by side: each in a process of its own, taking turns, medians compared.

Inference runtimes in one process steal each other's threads, and a machine's speed drifts; turns of a few runs each
make every program meet the same weather. A worker is a Python function that returns a callable to time and the facts
to report about it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


class Worker:
    """One program, waiting in its own process for its turn."""

    def __init__(self, script: str, arguments: dict[str, Any], threads: int) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT), "SPLITPORT_WORKER": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", script, json.dumps(arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
        )  # fmt: skip
        self.facts = self._answer()
        self.rounds: list[float] = []

    def turn(self, runs: int) -> None:
        """Run it a few times and keep the median, in milliseconds."""
        assert self._process.stdin
        self._process.stdin.write(f"{runs}\n")
        self._process.stdin.flush()
        self.rounds.append(statistics.median(self._answer()))

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(timeout=30)

    def _answer(self) -> Any:
        assert self._process.stdout
        while line := self._process.stdout.readline():
            if line.startswith("@"):
                return json.loads(line[1:])
        raise RuntimeError(f"worker ended with {self._process.wait()}; run {self._process.args} to see why")


def is_worker() -> bool:
    return os.environ.get("SPLITPORT_WORKER") == "1"


def serve(make: Callable[..., tuple[Callable[[], object], dict[str, Any]]]) -> None:
    """The worker's side: build from the arguments on the command line, then run whenever asked."""
    action, facts = make(**json.loads(sys.argv[1]))
    for _ in range(5):
        action()
    print("@" + json.dumps(facts), flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            begin = perf_counter()
            action()
            times.append(1e3 * (perf_counter() - begin))
        print("@" + json.dumps(times), flush=True)


def race(workers: dict[str, Worker], rounds: int, runs: int) -> dict[str, tuple[float, float]]:
    """Name -> (median ms, median of the ratios first/this taken round by round)."""
    for _ in range(rounds):
        for worker in workers.values():
            worker.turn(runs)
    first = next(iter(workers.values())).rounds
    return {
        name: (
            statistics.median(worker.rounds),
            statistics.median(a / b for a, b in zip(first, worker.rounds, strict=True)),
        )
        for name, worker in workers.items()
    }
