"""Measuring a bundle, the records, and the table drawn from them."""

from __future__ import annotations

import dataclasses
import json

import pytest

from profiling import records, reports
from profiling.commands import main
from profiling.records import Record
from runtime.errors import UnknownName


@pytest.fixture(scope="module")
def results(make_bundle, photographs, tmp_path_factory):
    """One run over two bundles, through the command line."""
    path = tmp_path_factory.mktemp("profiling") / "results.jsonl"
    bundles = [str(make_bundle("ours_n0", target, weights="seeded")) for target in ("onnx", "tflite")]
    images = str(photographs[0].parent)
    arguments = ["run", *bundles, "--images", images, "--runs", "12", "--threads", "1", "--device-name", "bench"]
    assert main([*arguments, "-o", str(path)]) == 0
    return path


def test_record_holds_what_was_measured(results):
    first, second = records.read(results)
    assert (first.target, second.target) == ("onnx", "tflite") and first.engine.startswith("onnxruntime ")
    assert (first.encoder_parameters, first.encoder_bits) == (32_960, 1_054_720)
    assert first.runs == len(first.samples["total"]) == 12 and first.warmup >= 8
    for stage in ("preprocess", "network", "code", "container", "total"):
        summary = first.stages[stage]
        assert summary["min"] <= summary["p50"] <= summary["p90"] <= summary["p99"] <= max(first.samples[stage])
    parts = sum(sum(first.samples[s]) for s in ("preprocess", "network", "code", "container"))
    assert parts == pytest.approx(sum(first.samples["total"]), rel=1e-3)
    assert first.pictures == 2 and first.wire_bytes["mean"] == first.payload_bytes["mean"] + 12
    assert first.bpp == pytest.approx(8 * first.payload_bytes["mean"] / 224**2)
    assert first.payload_bytes == second.payload_bytes and first.coder == "native"


def test_pcs_table(results, capsys):
    assert main(["report", str(results), "--format", "pcs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["| model | Latency | Link |", "|---|---|---|"]
    latency = records.read(results)[0].stages["total"]["p50"]
    assert lines[2] == f"| ours_n0 | {latency:#.3g} ms | onnx fp32 |" and lines[3].endswith("| tflite fp32 |")
    assert lines[-1].startswith("Latency: encode one 224x224 RGB picture in memory, including entropy coding")
    assert "bench (" in lines[-1] and "1 thread" in lines[-1] and "not trained" in lines[-1]
    assert len(lines) == 6, "one line about the device, however many rows share it"


def test_report_to_a_file_and_as_json(results, tmp_path, capsys):
    assert main(["report", str(results), "-o", str(tmp_path / "table.md")]) == 0
    assert main(["report", str(results), "--json"]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["ok"] and said["report"] + "\n" == (tmp_path / "table.md").read_text()


@pytest.mark.parametrize("content", ["", "{}\n", "not json\n", '{"schema": 99}\n', '{"schema": 1}\n'])
def test_files_that_hold_no_records(content, tmp_path, capsys):
    path = tmp_path / "results.jsonl"
    path.write_text(content)
    assert main(["report", str(path)]) == 1
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and str(path) in error[0]


def test_records_survive_a_round_trip(results, tmp_path):
    made = records.read(results)
    records.write(tmp_path / "again.jsonl", made)
    assert records.read(tmp_path / "again.jsonl") == made
    assert {f.name for f in dataclasses.fields(Record)} == set(json.loads(results.read_text().splitlines()[0]))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["report", "RESULTS", "--format", "pcz"], 2, "did you mean 'pcs'"),
        (["report", "missing.jsonl"], 1, "No such file"),
        (["run", "BUNDLE", "--images", "nowhere", "-o", "x.jsonl"], 2, "neither a picture nor a folder"),
        (["run", "nowhere", "--images", "PICTURE", "-o", "x.jsonl"], 1, "not a bundle"),
        (["run", "BUNDLE", "--images", "PICTURE", "-o", "x.jsonl", "--runs", "0"], 2, "at least 1"),
        (
            ["run", "BUNDLE", "--images", "PICTURE", "-o", "x.jsonl", "--engine", "openvin"],
            2,
            "did you mean 'openvino'",
        ),
    ],
)
def test_bad_requests(arguments, code, message, results, make_bundle, photographs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = {"RESULTS": results, "BUNDLE": make_bundle("ours_n0"), "PICTURE": photographs[0]}
    assert main([str(words.get(a, a)) for a in arguments]) == code
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and message in error[0]
    assert list(tmp_path.iterdir()) == []


def test_unknown_format_is_a_name_error():
    with pytest.raises(UnknownName):
        reports.render("latx", [])
