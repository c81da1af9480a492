"""Files of records: what is passed over is named, and nothing of a file is ever lost."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace

import pytest

from profiling import records
from profiling.commands import main
from profiling.records import Failure, Record, RecordError, Results


def test_records_survive_a_round_trip(results, measured, tmp_path):
    failure = Failure("no such engine", measured[0].subject, measured[0].date)
    records.write(tmp_path / "again.jsonl", [*measured, failure])
    assert records.read(tmp_path / "again.jsonl") == Results(measured, [failure], [])
    assert {f.name for f in dataclasses.fields(Record)} == set(json.loads(results.read_text().splitlines()[0]))


@pytest.mark.parametrize("content", ["", "\n\n", "{}\n", "not json\n", '{"schema": 99}\n', '{"schema": 2}\n', "[1]\n"])
def test_files_that_hold_no_records(content, tmp_path, capsys):
    path = tmp_path / "results.jsonl"
    path.write_text(content)
    assert main(["report", str(path)]) == 1
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and str(path) in error[0]


def test_a_folder_and_a_missing_file(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 1 and "is a folder" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "missing.jsonl")]) == 1 and "No such file" in capsys.readouterr().err


def _line(record: Record, **changes: object) -> str:
    return json.dumps(dataclasses.asdict(record) | changes)


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (lambda r: _line(r)[:-40], "not a whole line of JSON"),
        (lambda r: _line(r, schema=1), "its schema is 1, this version reads 2"),
        (lambda r: _line(r, schema=3), "its schema is 3"),
        (lambda r: _line(r, colour="red"), "unexpected keyword argument 'colour'"),
        (lambda r: _line(r, stages={}), "has no 'preprocess'"),
        (lambda r: _line(r, runs=5), "counts 5 runs"),
        (lambda r: _line(r, payload_bytes={"mean": "many"}), "p50"),
        (lambda r: _line(r, device={"name": 5}), "no name"),
        (lambda r: "\ufffd", "not a whole line of JSON"),
    ],
)
def test_what_is_no_record_is_named_and_passed_over(bad, why, measured, tmp_path, capsys):
    path = tmp_path / "results.jsonl"
    path.write_text(f"{_line(measured[0])}\n{bad(measured[0])}\n{_line(measured[1])}\n")
    found = records.read(path)
    assert found.records == measured
    (note,) = found.notes
    assert note.startswith(f"{path}, line 2 passed over") and why in note
    assert main(["report", str(path)]) == 0
    told = capsys.readouterr()
    assert note in told.err and told.out.count("| ours_n0 |") == 2


def test_a_half_written_last_line_stays_in_the_file(measured, tmp_path):
    path = tmp_path / "results.jsonl"
    half = _line(measured[0])[:500]
    path.write_text(_line(measured[0]) + "\n" + half)
    records.append(path, measured[1])
    lines = path.read_text().splitlines()
    assert lines == [_line(measured[0]), half, _line(measured[1])]
    assert records.read(path).records == measured


def test_records_are_not_added_to_something_else(measured, tmp_path, photographs):
    picture = tmp_path / "picture.jpg"
    picture.write_bytes(photographs[0].read_bytes())
    with pytest.raises(RecordError, match="choose another file"):
        records.append(picture, measured[0])
    assert picture.read_bytes() == photographs[0].read_bytes()


def test_the_same_line_counts_once(results, measured, tmp_path, capsys):
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(results.read_bytes())
    found = records.read(results, copy)
    assert found.records == measured and [note.endswith("counted once") for note in found.notes] == [True, True]
    assert main(["report", str(results), str(copy)]) == 0
    told = capsys.readouterr()
    assert told.out.count("| ours_n0 |") == 2 and f"{copy}, line 1 stands there before" in told.err


def test_of_several_runs_the_last_stands(measured):
    early, late = (replace(measured[0], date=f"2001-01-0{day}T00:00:00+00:00") for day in (1, 2))
    found = records.latest(Results([late, early, measured[1]]))
    assert found.records == [late, measured[1]]
    (note,) = found.notes
    assert "ours_n0 onnx fp32, 1 thread on bench: 1 earlier run left out" in note and late.date in note
    other = replace(measured[0], threads=2), replace(measured[0], bundle_sha256="0" * 64)
    assert records.latest(Results([measured[0], *other])).notes == [], "another subject is another row"


def test_accuracy_is_the_bundles_whatever_machine_found_it(measured):
    task = {"top1": 70.5, "top5": 90.0, "n": 10, "data": "made-up", "bpp": 0.1}
    here = replace(measured[0], device={**measured[0].device, "name": "desk"}, task=task, date="2999-01-01")
    found = records.latest(Results([*measured, here]))
    assert [record.task for record in found.records] == [task, None] and found.notes == []
    assert found.records[0].samples == measured[0].samples, "an evaluation's times are not a run's"
    assert records.latest(Results([here, measured[1]])).records == [here, measured[1]], "where there are no better ones"


def test_a_failure_lasts_until_it_is_made_good(measured):
    before, after = (Failure("why", measured[0].subject, date) for date in ("2001-01-01", "2999-01-01"))
    assert records.latest(Results(measured, [before])).failures == []
    assert records.latest(Results(measured, [before, after])).failures == [after]
    assert records.latest(Results(measured[1:], [before, after])).failures == [after], "once, as it was at last"
