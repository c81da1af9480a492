"""Report formats: what each says of records and failures, and that it depends on nothing else."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from profiling import records, reports
from profiling.commands import main
from profiling.records import Failure, Results
from profiling.reports import columns
from runtime.errors import UnknownName
from tests.conftest import ROOT


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_pcs_table(results, capsys):
    assert main(["report", str(results), "--format", "pcs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["| model | Latency | Link |", "|---|---|---|"]
    measured = records.read(results).records
    latency = measured[0].stages["total"]["p50"]
    assert lines[2] == f"| ours_n0 | {latency:#.3g} ms | onnx fp32 |" and lines[3].endswith("| tflite fp32 |")
    assert lines[5].startswith("Latency: encode one 224x224 RGB picture in memory, including entropy coding")
    assert "bench (" in lines[5] and "1 thread" in lines[5] and "not trained" in lines[5]
    doubts = sum(len(record.doubts) for record in measured)
    assert len(lines) == 6 + doubts, "one line about the device, however many rows share it"


def test_pcs_has_a_table_for_each_device_and_number_of_threads(measured):
    record = measured[0]
    elsewhere = replace(record, device={**record.device, "name": "elsewhere"})
    free, other = replace(record, threads=None), replace(record, model="other")
    text = reports.render("pcs", Results([record, elsewhere, free, other]))
    tables = text.split("| model | Latency | Link |")[1:]
    assert [table.count(" ms |") for table in tables] == [2, 1, 1]
    assert "bench" in tables[0] and "elsewhere" in tables[1] and "threads left to the engine" in tables[2]
    assert "elsewhere" not in tables[0] + tables[2]


def test_the_papers_rows_are_marked_as_the_papers(results, capsys):
    assert main(["report", str(results), "--format", "pcs", "--baseline", "paper"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "| ours_n0 | 3.95 ms | PCS 2022 |" and lines[3].endswith("| onnx fp32 |")
    assert "i7-10700K, 8 threads" in lines[-1] and not any("6.70" in line for line in lines)
    assert main(["report", str(results), "--format", "csv", "--baseline", "paper"]) == 2
    assert "--format pcs has --baseline paper" in capsys.readouterr().err


def test_report_to_a_file_and_as_json(results, tmp_path, capsys):
    assert main(["report", str(results), "-o", str(tmp_path / "table.md")]) == 0
    capsys.readouterr()
    assert main(["report", str(results), "--json"]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["ok"] and said["report"] + "\n" == (tmp_path / "table.md").read_text()


def test_unknown_format_is_a_name_error():
    with pytest.raises(UnknownName):
        reports.render("latx", Results([]))


def test_markdown_says_what_was_measured(measured):
    head, _, first, second, *_ = reports.render("markdown", Results(measured)).splitlines()
    cells = dict(zip(_cells(head), _cells(first), strict=True))
    assert cells["model"] == "ours_n0" and cells["bundle"] == "onnx fp32" and "tflite fp32" in second
    assert float(cells["latency ms"]) == pytest.approx(measured[0].stages["total"]["p50"], rel=0.01)
    assert cells["encoder bits"] == "1,054,720" and cells["top-1 %"] == "" and cells["device"] == "bench"


def test_the_context_codec_is_told_apart(measured):
    both = Results([measured[0], replace(measured[0], codec="context", bpp=measured[0].bpp / 2)])
    for name in ("pcs", "markdown", "csv", "latex"):
        assert "onnx fp32 context" in reports.render(name, both), name
    assert [curve["name"] for curve in json.loads(reports.render("json", both))] == [
        "ours_n0-onnx-fp32", "ours_n0-onnx-fp32-context",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["pcs", "markdown"])
def test_failures_are_rows_and_say_why(name, varied_results):
    lines = reports.render(name, varied_results).splitlines()
    tables = [line for line in lines if line.startswith("|")]
    assert len({len(_cells(line)) for line in tables}) == 1, "every row has as many cells as the heading"
    (row,) = (line for line in tables if "not measured" in line)
    assert "ours_n0" in row and "executorch fp32" in row
    assert any(line.endswith("not measured: engine executorch is not installed.") for line in lines)


@pytest.mark.parametrize("name", ["pcs", "markdown", "latex"])
def test_doubts_are_told_below_the_table(name, varied_results):
    told = reports.render(name, varied_results).replace("\\", "")
    assert "ours_n8 tflite fp32, 1 thread on bench: it shared its core: for 31% of its time" in told


@pytest.mark.parametrize("name", ["pcs", "markdown"])
def test_markdown_cannot_be_broken_by_names(name, measured):
    nasty = "a|b\nc <script>alert(1)</script> *x* `y` [z](javascript:0)"
    failure = Failure(nasty, replace(measured[0].subject, model=nasty), "2000-01-01")
    lines = reports.render(name, Results([replace(measured[0], model=nasty)], [failure])).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len({len(_cells(row)) for row in rows}) == 1 and len(rows) == 4
    text = "\n".join(lines)
    assert not re.search(r"(?<!\\)([<*`]|\]\()", text) and "alert(1)" in text


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_holds_the_numbers_unrounded(measured):
    for row, record in zip(_rows(reports.render("csv", Results(measured))), measured, strict=True):
        assert float(row["total p50 ms"]) == record.stages["total"]["p50"]
        assert float(row["payload mean B"]) == record.payload_bytes["mean"] and int(row["threads"]) == 1
        assert row["top-1 %"] == "" and row["weights"] == record.weights and row["failure"] == ""


def test_csv_holds_everything_but_samples(varied, varied_results):
    *rows, failed = _rows(reports.render("csv", varied_results))
    record, row = varied[3], rows[3]
    assert row["codec"] == record.codec and row["bundle sha256"] == record.bundle_sha256
    assert float(row["decode p50 ms"]) == record.stages["decode"]["p50"]
    assert float(row["legacy mean B"]) == record.legacy_bytes["mean"]
    assert float(row["SC2 data size KB"]) == (record.legacy_bytes["mean"] + 33) / 1024
    assert int(row["encoder bits fp32"]) == record.encoder_bits_fp32
    assert (row["energy joules"], row["energy watts"], row["energy source"]) == ("0.0125", "4.5", "made-up sensor")
    assert float(row["first run ms"]) == record.first_run_ms and row["version"] == record.version
    assert rows[5]["doubts"] == varied[5].doubts[0] and rows[0]["energy joules"] == ""
    assert failed["failure"] == "engine executorch is not installed" and failed["model"] == "ours_n0"
    assert failed["bundle"] == "executorch fp32" and failed["total p50 ms"] == "" and list(failed)[-1] == "failure"


def test_sc2_counts_what_its_pickle_takes(measured):
    """SC2 adds what ``sys.getsizeof`` says of the pickled payload, divided by 1024."""
    size = next(column for column in columns.ALL if column.name == "SC2 data size KB")
    for length in (0, 1, 700):
        legacy = dict.fromkeys(measured[0].legacy_bytes or {}, float(length))
        assert size.value(replace(measured[0], legacy_bytes=legacy)) == sys.getsizeof(bytes(length)) / 1024
    assert size.value(replace(measured[0], legacy_bytes=None)) is None


def test_json_is_one_curve_for_all_rates(measured):
    first, second = measured
    low = replace(first, bpp=first.bpp / 2, weights="a lower rate")
    failure = Failure("made up", first.subject, first.date)
    curve, other = json.loads(reports.render("json", Results([first, second, low], [failure])))
    assert curve["name"] == "ours_n0-onnx-fp32" and other["name"] == "ours_n0-tflite-fp32"
    assert curve["results"]["bpp"] == [low.bpp, first.bpp] and curve["results"]["weights"][0] == "a lower rate"
    assert curve["results"]["encoding_time"][0] == pytest.approx(first.stages["total"]["p50"] / 1000)
    (curve,) = json.loads(reports.render("json", Results([replace(first, task={"top1": 70.5, "top5": 90.0, "n": 10})])))
    assert curve["results"]["top1"] == [70.5]
    (curve,) = json.loads(reports.render("json", Results([replace(first, task={"top1": 70.5, "n": 10})])))
    assert "top5" not in curve["results"]


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [(0.3542, 3, "0.354"), (4.4, 3, "4.40"), (12345.6, 3, "12,346"), (9.999, 3, "10.0"), (0.0000123, 3, "0.0000123"),
     (0.0, 3, "0.00"), (999.6, 3, "1,000"), (float("nan"), 3, "nan"), (-4.56, 2, "-4.6")],
)  # fmt: skip
def test_numbers_for_people_have_no_exponent(value, digits, shown):
    assert columns.number(value, digits) == shown


@pytest.mark.parametrize("name", list(reports.FORMATS))
def test_every_format_takes_whatever_was_found(name, varied_results, measured):
    """Nothing but failures; a machine that says little of itself; records without what may be absent."""
    bare = dataclasses.asdict(measured[0])
    bare["device"], bare["legacy_bytes"], bare["encoder_bits_fp32"], bare["commit"] = {"name": "bare"}, None, None, None
    for part in ("stages", "samples"):
        bare[part].pop("decode", None)
    for results in (
        Results([], varied_results.failures),
        Results([records.Record(**bare)]),
        Results([records.Record(**bare), *varied_results.records], varied_results.failures),
    ):
        assert reports.render(name, results)


@pytest.mark.parametrize("missing", ["jinja2", "matplotlib"])
def test_what_a_page_needs_is_named(missing, results, tmp_path):
    program = f"import sys; sys.modules[{missing!r}] = None; from profiling.commands import main; sys.exit(main())"
    arguments = ["report", str(results), "--format", "html", "-o", str(tmp_path / "report.html")]
    done = subprocess.run([sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.endswith(f"needs {missing}: pip install 'splitport[report]'\n")
    assert done.stderr.count("\n") == 1 and list(tmp_path.iterdir()) == []


def test_a_report_depends_on_the_records_alone(varied_results, tmp_path):
    """Elsewhere, another day, in another language, with a user who likes large letters: the same bytes."""
    entries = [*varied_results.records, *varied_results.failures]
    records.write(tmp_path / "results.jsonl", entries)
    home = tmp_path / "home"
    home.mkdir()
    (home / "matplotlibrc").write_text("font.size: 30\nsvg.fonttype: path\nlines.linewidth: 9\n")
    program = (
        "import sys; from pathlib import Path; from profiling import records, reports\n"
        "results = records.read(Path(sys.argv[1]))\n"
        "for name in reports.FORMATS: Path(name).write_bytes(reports.render(name, results).encode())\n"
    )
    changed = {"PYTHONHASHSEED": "7", "TZ": "Asia/Kathmandu", "LANG": "tr_TR.UTF-8", "LC_ALL": "C", "COLUMNS": "40"}
    environment = {**os.environ, **changed, "HOME": str(home), "MPLCONFIGDIR": str(home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program, str(tmp_path / "results.jsonl")]
    subprocess.run(command, check=True, cwd=home, env=environment, capture_output=True)
    here = records.read(tmp_path / "results.jsonl")
    for name in reports.FORMATS:
        assert (home / name).read_bytes() == reports.render(name, here).encode(), name


def test_rows_of_one_name_say_what_tells_them_apart(measured):
    first, second = measured
    other = replace(first, weights="ours_n0-lmb9.99, shipped", bundle_sha256="0" * 64)
    assert "weights" not in reports.render("markdown", Results([first, second])).partition("\n")[0]
    head, _, one, two, three, *_ = reports.render("markdown", Results([first, other, second])).splitlines()
    assert head.split(" | ")[4] == "weights" and "| seeded (seed 0) |" in one and "| lmb9.99 |" in two
    link = reports.render("pcs", Results([first, other])).splitlines()[3]
    assert link.endswith("| onnx fp32, lmb9.99 |")
    same = replace(first, bundle_sha256="abcdef01" * 8)
    assert "| abcdef01 |" in reports.render("markdown", Results([first, same])), "the bundle itself, for want of words"
    assert three.count("|") == head.count("|")
