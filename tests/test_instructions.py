"""Counted instructions repeat and grow with the work; how many they are stays out of the tests."""

from __future__ import annotations

import json
import shutil
import statistics
from pathlib import Path

import numpy as np
import pytest

from benchmarks.instructions import RECORD, RUNS, Counts, count, table
from tests.messages import random_tables

STAGES = ["once, plain: encode", "once, plain: decode", "twice, plain: encode", "twice, plain: decode"]


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed (apt-get install valgrind)")
def test_counts_repeat_and_grow(tmp_path: Path) -> None:
    """Two runs of the same agree, within a process and between two; twice the message costs about twice as much."""
    pytest.importorskip("runtime.coder.native", reason="the C coder has not been built")
    rng = np.random.default_rng(3)
    tables = random_tables(rng, 32)
    message = np.round(rng.laplace(0, 1, (32, 14, 28))).astype(np.int32)
    np.savez(tmp_path / "tables.npz", **tables.arrays())
    np.save(tmp_path / "once.npy", message)
    np.save(tmp_path / "twice.npy", np.concatenate([message, message], axis=1))
    first, second = count(tmp_path), count(tmp_path)
    assert list(first.runs) == STAGES and first.facts == second.facts
    for stage in STAGES:
        runs, again = first.runs[stage], second.runs[stage]
        assert len(runs) == len(again) == RUNS and max(runs) - min(runs) < 0.01 * min(runs)
        assert abs(statistics.median(runs) - statistics.median(again)) < 0.002 * min(runs)
    for way in ("encode", "decode"):
        once, twice = (first.medians()[f"{name}, plain: {way}"] for name in ("once", "twice"))
        assert once > 32 * 14 * 28 and 1.8 < twice / once < 2.2


def test_table() -> None:
    """What changed is told, and what it was compared with where that is not the same."""
    now = Counts({"new": [5, 5, 5], "old": [1000, 1010, 1020]}, {"compiler": "B", "Pillow": "1"})
    before = {"facts": {"compiler": "A", "Pillow": "1"}, "instructions": {"old": 1000, "gone": 7}}
    assert table(now, before)[2:] == [
        "| new | 5 | 0.000 % | | |",
        "| old | 1,010 | 1.980 % | 1,000 | +1.00 % |",
        "",
        "Compared with other versions: compiler A, now B",
    ]
    assert table(now, {})[-1] == ""


def test_what_is_kept_is_whole() -> None:
    """Figures stand with all that they depend on, the same stages for each machine."""
    kept = json.loads(RECORD.read_text())
    assert len({frozenset(record["instructions"]) for record in kept.values()}) == 1
    for name, record in kept.items():
        assert name.split(",")[0] == record["facts"]["machine"]
        assert {"compiler", "Pillow", "counter", "workload"} < set(record["facts"])
        assert all(instructions > 10_000 for instructions in record["instructions"].values())
