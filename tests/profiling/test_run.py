"""Measuring: every subject in its own process, by turns, and what becomes of those that fail."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from profiling import records, turns
from profiling.commands import main
from profiling.records import STAGES, Failure, Record
from profiling.subjects import BundleEncoding
from profiling.turns import Plan, Wanted
from runtime.errors import EngineError


def test_record_holds_what_was_measured(measured):
    first, second = measured
    assert (first.target, second.target) == ("onnx", "tflite") and first.engine.startswith("onnxruntime ")
    assert (first.encoder_parameters, first.encoder_bits, first.macs) == (32_960, 1_054_720, 25_690_112)
    assert first.encoder_bits_fp32 == 1_054_720 and first.codec == "factorized"
    assert first.runs == len(first.samples["total"]) == 12 and first.warmup >= 9
    for stage in (*STAGES, "total", "decode"):
        summary = first.stages[stage]
        assert 0 < summary["min"] <= summary["p50"] <= summary["p90"] <= summary["p99"] <= max(first.samples[stage])
    parts = sum(sum(first.samples[stage]) for stage in STAGES)
    assert parts == pytest.approx(sum(first.samples["total"]), rel=1e-2), "reading the file is not part of the total"
    assert first.pictures == len(first.payloads) == 2 and first.wire_bytes["mean"] == first.payload_bytes["mean"] + 12
    assert first.legacy_bytes["mean"] == first.payload_bytes["mean"] + 29
    assert first.bpp == pytest.approx(8 * first.payload_bytes["mean"] / 224**2)
    assert first.payload_bytes == second.payload_bytes and first.coder == "native"
    assert first.load_ms > 0 and first.first_run_ms > 0 and first.peak_rss_mb > 20


def test_subjects_take_turns(measured):
    first, second = measured
    assert [turn["runs"] for turn in first.turns] == [turn["runs"] for turn in second.turns] == [10, 2]
    # In the second round the other one begins.
    ends = [each.turns[turn]["seconds"] for turn, each in ((0, first), (0, second), (1, second), (1, first))]
    assert ends == sorted(ends)


def test_no_more_pictures_are_read_than_encoded():
    names = [Path(f"{index:03}.png") for index in range(100)]
    assert Plan(names, 4, "").chosen == [names[0], names[25], names[50], names[75]], "spread over the folder"
    assert Plan(names[:3], 10, "").chosen == names[:3]


def test_runs_are_added_to_the_file(make_bundle, photographs, tmp_path, capsys):
    output = tmp_path / "results.jsonl"
    words = [str(make_bundle("ours_n0", "onnx", weights="seeded")), "--images", str(photographs[0]), "--runs", "2"]
    for _ in range(2):
        assert main(["run", *words, "-o", str(output)]) == 0
    assert len(records.read(output).records) == 2
    assert f"1 record added to {output}" in capsys.readouterr().out


class _Ending:
    """Ends its process when it is to encode for the second time."""

    size = 224

    def encode(self, pixels: np.ndarray) -> tuple[bytes, dict[str, float]]:
        if hasattr(self, "done"):
            os.kill(os.getpid(), signal.SIGKILL)
        self.done = True
        return b"", dict.fromkeys(STAGES, 1.0)


def _missing() -> BundleEncoding:
    raise EngineError("engine made-up is not installed: pip install made-up")


@pytest.mark.parametrize(
    ("opening", "why"), [(_Ending, "its engine ended the process (SIGKILL)"), (_missing, "pip install made-up")]
)
def test_one_that_fails_does_not_take_the_others_along(opening, why, measured, make_bundle, photographs):
    fine = partial(BundleEncoding, make_bundle("ours_n0", "onnx", weights="seeded"), 1)
    subject = measured[0].subject
    wanted = [Wanted(subject, fine), Wanted(measured[1].subject, opening)]
    (record, failure), finished = turns.measure(wanted, Plan(photographs, 3, "bench"))
    assert isinstance(record, Record) and record.runs == 3 and finished
    assert isinstance(failure, Failure) and why in failure.failure and failure.subject == measured[1].subject


def test_failures_are_told_and_kept(measured, make_bundle, photographs, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("profiling.commands.run.BundleEncoding", _missing)
    monkeypatch.setattr("profiling.commands.run.partial", lambda function, *_: function)
    output = tmp_path / "results.jsonl"
    bundle = make_bundle("ours_n0", "onnx", weights="seeded")
    assert main(["run", str(bundle), "--images", str(photographs[0]), "-o", str(output), "--device-name", "bench"]) == 1
    (error,) = capsys.readouterr().err.strip().splitlines()
    assert "ours_n0 onnx fp32 on bench was not measured: engine made-up is not installed" in error
    (failure,) = records.read(output).failures
    assert failure.subject.device == "bench"
    assert main(["report", str(output)]) == 0
    assert "engine made-up is not installed" in capsys.readouterr().out


def test_ctrl_c_keeps_what_was_counted(make_bundle, photographs, tmp_path):
    output = tmp_path / "results.jsonl"
    bundle = make_bundle("ours_n0", "onnx", weights="seeded")
    command = [sys.executable, "-m", "profiling", "run", str(bundle), "--images", str(photographs[0])]
    command += ["-o", str(output), "--runs", "1000000"]
    with subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True) as running:
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
        deadline = time.monotonic() + 60
        while not _encoding(children) and time.monotonic() < deadline:
            time.sleep(0.2)
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to all of them
        _, error = running.communicate(timeout=60)
    assert running.returncode == 1 and error.strip().endswith("interrupted: what had been counted is kept")
    (record,) = records.read(output).records
    assert 10 <= record.runs < 1_000_000 and f"stopped after {record.runs} of 1000000" in record.doubts[-1]
    assert sum(turn["runs"] for turn in record.turns) == record.runs


def _encoding(children: Path) -> bool:
    """Whether a measured process has run for three seconds: its imports take one."""
    ticks = [Path(f"/proc/{child}/stat").read_text().split()[13] for child in children.read_text().split()]
    return any(int(each) > 3 * os.sysconf("SC_CLK_TCK") for each in ticks)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "BUNDLE", "--images", "nowhere", "-o", "x.jsonl"], 2, "neither a picture nor a folder"),
        (["run", "nowhere", "--images", "PICTURE", "-o", "x.jsonl"], 1, "not a bundle"),
        (["run", "RECEIVER", "--images", "PICTURE", "-o", "x.jsonl"], 1, "encoders are measured"),
        (["run", "BUNDLE", "--images", "PICTURE", "-o", "x.jsonl", "--runs", "0"], 2, "at least 1"),
        (["run", "BUNDLE", "--images", "PICTURE", "-o", "x.jsonl", "--threads", "0"], 2, "threads must be at least 1"),
        (["run", "BUNDLE", "--images", "PICTURE", "-o", "PICTURE"], 1, "records are not added to it"),
        (
            ["run", "BUNDLE", "--images", "PICTURE", "-o", "x.jsonl", "--engine", "openvin"],
            2,
            "did you mean 'openvino'",
        ),
    ],
)
def test_bad_requests(arguments, code, message, make_bundle, photographs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = {
        "BUNDLE": make_bundle("ours_n0", "onnx", weights="seeded"),
        "RECEIVER": make_bundle("ours_n0", "onnx", side="receiver") if "RECEIVER" in arguments else "",
        "PICTURE": photographs[0],
    }
    assert main([str(words.get(a, a)) for a in arguments]) == code
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and message in error[0]
    assert list(tmp_path.iterdir()) == []


def test_the_machine_says_which_version_measured(measured, monkeypatch, tmp_path):
    from profiling import source

    assert measured[0].version == source.version() == json.loads(json.dumps(source.version()))
    monkeypatch.setattr(source, "_ROOT", tmp_path)
    source.commit.cache_clear()
    assert source.commit() is None, "installed, not a checkout"
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e@x"]
    (tmp_path / "file").write_text("one")
    for words in (["init", "-q"], ["add", "file"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    source.commit.cache_clear()
    clean = source.commit()
    assert clean and len(clean) == 12 and int(clean, 16) >= 0
    (tmp_path / "file").write_text("two")
    source.commit.cache_clear()
    assert source.commit() == clean + "+"
    source.commit.cache_clear()


def test_a_board_measures_and_reports_without_pytorch(make_bundle, photographs, tmp_path):
    """Nor with anything else that only a workstation has: each of these modules fails to be imported."""
    absent = tmp_path / "absent"
    absent.mkdir()
    for name in ("torch", "torchvision", "compressai", "encoders", "export", "matplotlib", "jinja2", "plumbum", "rich"):
        (absent / f"{name}.py").write_text(f"raise ImportError('{name} is not for boards')")
    bundle, output = make_bundle("ours_n0", "tflite", weights="seeded"), tmp_path / "results.jsonl"
    measure = ["run", str(bundle), "--images", str(photographs[0]), "--runs", "2", "-o", str(output)]
    for arguments in (measure, ["report", str(output)], ["compare", str(output), str(output)]):
        command = [sys.executable, "-m", "profiling", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(absent)})
        assert done.returncode == 0, done.stderr
    page = [sys.executable, "-m", "profiling", "report", str(output), "--format", "html"]
    done = subprocess.run(page, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(absent)})
    assert done.returncode == 2 and "pip install 'splitport[report]'" in done.stderr
