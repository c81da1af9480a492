"""Measuring a bundle, the records, and the table drawn from them."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
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
    assert (first.encoder_parameters, first.encoder_bits, first.macs) == (32_960, 1_054_720, 25_690_112)
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
    assert lines[5].startswith("Latency: encode one 224x224 RGB picture in memory, including entropy coding")
    assert "bench (" in lines[5] and "1 thread" in lines[5] and "not trained" in lines[5]
    doubts = sum(len(record.doubts) for record in records.read(results))
    assert len(lines) == 6 + doubts, "one line about the device, however many rows share it"


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


def test_markdown_says_what_was_measured(results, capsys):
    assert main(["report", str(results), "--format", "markdown"]) == 0
    head, _, first, second, *_ = capsys.readouterr().out.splitlines()
    record = records.read(results)[0]
    cells = dict(zip(*([cell.strip() for cell in line.strip("|").split("|")] for line in (head, first)), strict=True))
    assert cells["model"] == "ours_n0" and cells["bundle"] == "onnx fp32" and "tflite fp32" in second
    assert float(cells["latency ms"]) == pytest.approx(record.stages["total"]["p50"], rel=0.01)
    assert cells["encoder bits"] == "1,054,720" and cells["top-1 %"] == ""


def test_csv_holds_the_numbers_unrounded(results, tmp_path):
    import csv

    assert main(["report", str(results), "--format", "csv", "-o", str(tmp_path / "table.csv")]) == 0
    with (tmp_path / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row, record in zip(rows, records.read(results), strict=True):
        assert float(row["total p50 ms"]) == record.stages["total"]["p50"]
        assert float(row["payload mean B"]) == record.payload_bytes["mean"] and int(row["threads"]) == 1
        assert row["top-1 %"] == "" and row["weights"] == record.weights


def test_json_is_one_curve_for_all_rates(results, capsys):
    first, second = records.read(results)
    low = dataclasses.replace(first, bpp=first.bpp / 2, weights="a lower rate")
    (curve, other) = json.loads(reports.render("json", [first, second, low]))
    assert curve["name"] == "ours_n0-onnx-fp32" and other["name"] == "ours_n0-tflite-fp32"
    assert curve["results"]["bpp"] == [low.bpp, first.bpp] and curve["results"]["weights"][0] == "a lower rate"
    assert curve["results"]["encoding_time"][0] == pytest.approx(first.stages["total"]["p50"] / 1000)
    task = {"top1": 70.5, "top5": 90.0, "n": 10}
    (curve,) = json.loads(reports.render("json", [dataclasses.replace(first, task=task)]))
    assert curve["results"]["top1"] == [70.5]


def test_latex_escapes_what_tex_would_read(results):
    text = reports.render("latex", records.read(results))
    assert r"ours\_n0 & onnx fp32" in text and r"\toprule" in text and "top-1" not in text
    columns = text.split("{tabular}{")[1].split("}")[0]
    body = [line for line in text.splitlines() if line.endswith(r"\\") and "&" in line]
    assert all(line.count("&") == len(columns) - 1 for line in body) and set(columns) == {"l", "r"}
    import re

    assert not re.search(r"(?<!\\)[_%#]", text.partition("\n")[2])


def test_a_difference_is_shown_only_where_there_is_one(results, tmp_path, capsys):
    first, second = records.read(results)
    rng = np.random.default_rng(0)

    def with_samples(record: Record, mean: float) -> Record:
        return dataclasses.replace(record, samples={"total": rng.normal(mean, 0.1, 80).tolist()})

    records.write(tmp_path / "a.jsonl", [with_samples(first, 5.0), with_samples(second, 5.0)])
    records.write(tmp_path / "b.jsonl", [with_samples(first, 5.02), with_samples(second, 2.5)])
    assert main(["compare", str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl"), "--json"]) == 0
    same, faster = json.loads(capsys.readouterr().out)["compared"]
    assert same["verdict"] == "no difference shown" and same["low"] < 1 < same["high"]
    assert faster["verdict"].startswith("the second is 2.0") and faster["verdict"].endswith("times as fast")
    assert faster["low"] < faster["ratio"] < faster["high"] < 0.6
    records.write(tmp_path / "c.jsonl", [with_samples(first, 5.0)])
    assert main(["compare", str(tmp_path / "c.jsonl"), str(tmp_path / "b.jsonl")]) == 0
    assert "tflite fp32 224x224, 1 thread: in one of the files only" in capsys.readouterr().out
    records.write(tmp_path / "d.jsonl", [dataclasses.replace(first, model="another")])
    assert main(["compare", str(tmp_path / "a.jsonl"), str(tmp_path / "d.jsonl")]) == 2
    assert "no bundle in common" in capsys.readouterr().err


def test_the_papers_rows_are_marked_as_the_papers(results, capsys):
    assert main(["report", str(results), "--format", "pcs", "--baseline", "paper"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "| ours_n0 | 3.95 ms | PCS 2022 |" and lines[3].endswith("| onnx fp32 |")
    assert "i7-10700K, 8 threads" in lines[-1] and not any("6.70" in line for line in lines)
    assert main(["report", str(results), "--format", "csv", "--baseline", "paper"]) == 2
    assert "--format pcs has --baseline paper" in capsys.readouterr().err


def test_what_happened_meanwhile_is_told_not_guessed(results, monkeypatch, tmp_path):
    from profiling import device

    record = records.read(results)[0]
    assert record.device["ram_mb"] > 100 and set(record.device["before"]) == {"celsius", "megahertz", "load"}
    monkeypatch.setattr(device, "_SYSTEM", tmp_path)
    assert device.facts("x")["governor"] is None and device.state()["celsius"] is None
    for zone, degrees in (("thermal_zone0", "41500\n"), ("thermal_zone1", "67250\n"), ("thermal_zone2", "broken")):
        (tmp_path / "class/thermal" / zone).mkdir(parents=True)
        (tmp_path / "class/thermal" / zone / "temp").write_text(degrees)
    (tmp_path / "devices/system/cpu/cpu0/cpufreq").mkdir(parents=True)
    (tmp_path / "devices/system/cpu/cpu0/cpufreq/scaling_governor").write_text("ondemand\n")
    (tmp_path / "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq").write_text("1800000\n")
    assert device.facts("x")["governor"] == "ondemand"
    assert device.state()["celsius"] == 67.25 and device.state()["megahertz"] == 1800


def test_doubtful_runs_say_so(monkeypatch, results):
    from profiling import device

    monkeypatch.setattr("os.cpu_count", lambda: 4)
    quiet, busy = {"celsius": None, "megahertz": None, "load": 0.3}, {"celsius": 50.0, "megahertz": None, "load": 5.0}
    assert device.doubts(quiet, [5.0] * 40) == []
    assert "load 5 on 4 cores" in device.doubts(busy, [5.0] * 40)[0]
    (slow,) = device.doubts(quiet, [5.0] * 20 + [6.5] * 20)
    assert "5.00 ms at first" in slow or "5 ms at first" in slow
    told = dataclasses.replace(records.read(results)[0], doubts=[slow])
    assert slow in reports.render("pcs", [told]) and slow in reports.render("markdown", [told])
