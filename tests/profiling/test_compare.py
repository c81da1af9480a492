"""Ratios with an interval, and no claim where chance would do."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from profiling import records
from profiling.commands import main
from profiling.records import Record


def _with_samples(record: Record, mean: float, rng: np.random.Generator) -> Record:
    samples = {stage: rng.normal(mean, 0.1, 80).tolist() for stage in record.samples}
    return replace(record, samples=samples, runs=80)


def test_a_difference_is_shown_only_where_there_is_one(measured, tmp_path, capsys):
    first, second = measured
    rng = np.random.default_rng(0)
    records.write(tmp_path / "a.jsonl", [_with_samples(first, 5.0, rng), _with_samples(second, 5.0, rng)])
    records.write(tmp_path / "b.jsonl", [_with_samples(first, 5.02, rng), _with_samples(second, 2.5, rng)])
    assert main(["compare", str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl"), "--json"]) == 0
    same, faster = json.loads(capsys.readouterr().out)["compared"]
    assert same["verdict"] == "no difference shown" and same["low"] < 1 < same["high"]
    assert faster["verdict"].startswith("the second is 2.0") and faster["verdict"].endswith("times as fast")
    assert faster["low"] < faster["ratio"] < faster["high"] < 0.6
    records.write(tmp_path / "c.jsonl", [_with_samples(first, 5.0, rng)])
    assert main(["compare", str(tmp_path / "c.jsonl"), str(tmp_path / "b.jsonl")]) == 0
    assert "tflite fp32 224x224, 1 thread: in one of the files only" in capsys.readouterr().out
    records.write(tmp_path / "d.jsonl", [replace(first, model="another")])
    assert main(["compare", str(tmp_path / "a.jsonl"), str(tmp_path / "d.jsonl")]) == 2
    assert "no bundle in common" in capsys.readouterr().err


def test_the_interval_covers_the_truth_as_often_as_it_says(measured):
    """Of two runs of the same thing it must hold 1 in about 95 of 100."""
    from profiling.compare import compare

    rng = np.random.default_rng(1)
    held = 0
    for _ in range(100):
        ours, theirs = ([_with_samples(measured[0], 5.0, rng)] for _ in range(2))
        ((found,), _) = compare(ours, theirs)
        held += found.low <= 1 <= found.high
    assert 88 <= held <= 100


def test_what_cannot_be_read_is_named(results, tmp_path, capsys):
    damaged = tmp_path / "damaged.jsonl"
    damaged.write_bytes(results.read_bytes() + b'{"half')
    assert main(["compare", str(results), str(damaged)]) == 0
    told = capsys.readouterr()
    assert told.out.count("no difference shown") == 2 and "line 3 passed over" in told.err
