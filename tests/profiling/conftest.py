"""One run that was really measured, and variations on it that stand for other bundles, machines and mishaps."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest

from profiling import records
from profiling.commands import main
from profiling.records import Failure, Record, Results
from runtime import sysfs


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Writes files of a made-up machine, below sys and proc."""
    monkeypatch.setattr(sysfs, "SYSTEM", tmp_path / "sys")
    monkeypatch.setattr(sysfs, "PROCESSES", tmp_path / "proc")

    def put(name: str, content: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    return put


@pytest.fixture(scope="session")
def results(make_bundle, photographs, tmp_path_factory) -> Path:
    """The file of one run over two bundles, through the command line."""
    path = tmp_path_factory.mktemp("profiling") / "results.jsonl"
    bundles = [str(make_bundle("ours_n0", target, weights="seeded")) for target in ("onnx", "tflite")]
    images = str(photographs[0].parent)
    arguments = ["run", *bundles, "--images", images, "--runs", "12", "--threads", "1", "--device-name", "bench"]
    assert main([*arguments, "-o", str(path)]) == 0
    return path


@pytest.fixture(scope="session")
def measured(results) -> list[Record]:
    """Its records."""
    return records.read(results).records


def scaled(record: Record, factor: float, **changes: object) -> Record:
    """The same as if every encode had taken so much longer."""
    stages = {stage: {name: ms * factor for name, ms in each.items()} for stage, each in record.stages.items()}
    samples = {stage: [ms * factor for ms in each] for stage, each in record.samples.items()}
    return replace(copy.deepcopy(record), stages=stages, samples=samples, **changes)


def resized(record: Record, factor: float) -> Record:
    """The same as if every payload had been so much longer."""

    def times(sizes: dict[str, float] | None) -> dict[str, float] | None:
        return sizes and {name: size * factor for name, size in sizes.items()}

    return replace(
        record,
        payload_bytes=times(record.payload_bytes), wire_bytes=times(record.wire_bytes),
        legacy_bytes=times(record.legacy_bytes), payloads=[round(size * factor) for size in record.payloads],
        bpp=record.bpp * factor,
    )  # fmt: skip


@pytest.fixture
def varied(measured) -> list[Record]:
    """Three models in two artifacts at rates and accuracies of their own; one of them doubtful, two told more."""
    onnx, tflite = measured
    made = []
    for index, (model, bits) in enumerate((("ours_n0", 1_054_720), ("ours_n4", 19_953_664), ("ours_n8", 38_852_608))):
        for source in (onnx, tflite):
            task = {"top1": 70.0 + 5 * index, "top5": 90.0 + index, "n": 100, "data": "made-up", "broken": 0}
            digest = f"{len(made):064x}"
            each = scaled(source, 1 + 4 * index, model=model, encoder_bits_fp32=bits, encoder_bits=bits, task=task)
            made.append(replace(resized(each, 1 / (1 + index)), bundle_sha256=digest, weights="made up"))
    turns = [{**turn, "celsius": 41.0 + n, "megahertz": 1800.0 - 100 * n} for n, turn in enumerate(made[3].turns)]
    energy = {"joules": 0.0125, "watts": 4.5, "source": "made-up sensor"}
    made[3] = replace(made[3], turns=turns, energy=energy)
    made[5] = replace(made[5], doubts=["it shared its core: for 31% of its time something else ran there"], task=None)
    return made


@pytest.fixture
def varied_results(varied) -> Results:
    """The same with a bundle that could not be measured, and a note."""
    subject = replace(varied[0].subject, target="executorch", bundle_sha256="f" * 64)
    failure = Failure("engine executorch is not installed", subject, varied[0].date)
    return Results(varied, [failure], ["results.jsonl, line 9 passed over: not a whole line of JSON"])
