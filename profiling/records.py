"""Records: one JSON object a line, the only truth that tables and plots are made from.

A line is what was measured of one bundle on one machine, or why it could not be. Whatever else a file holds (a line
that was being written when the machine went off, a record of another schema) is named and passed over, and stays in
the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from runtime.errors import SplitportError
from runtime.files import write_atomically

SCHEMA = 2
STAGES = ("preprocess", "network", "code", "container")
"""What an encode consists of; ``total`` is their sum. Reading the picture's file is ``decode``, and not part of it."""
_STATISTICS = ("p50", "p90", "p99", "mean", "min")


class RecordError(SplitportError, ValueError):
    """A file that is to hold records and holds none."""


@dataclass(frozen=True)
class Subject:
    """What a line is about: the same for every run of one bundle in one way on one machine."""

    model: str
    target: str
    precision: str
    codec: str
    bundle_sha256: str
    """Of the manifest, which holds the digests of all other files."""
    threads: int | None
    device: str

    @property
    def artifact(self) -> str:
        """What was exported, beside the model's name."""
        context = " context" if self.codec == "context" else ""
        return f"{self.target} {self.precision}{context}"

    @property
    def title(self) -> str:
        """In words."""
        count = self.threads
        threads = "" if count is None else f", {count} thread{'s' * (count != 1)}"
        return f"{self.model} {self.artifact}{threads} on {self.device}"


@dataclass(frozen=True)
class Record:
    """One bundle measured on one machine. Times in milliseconds, sizes in bytes."""

    model: str
    weights: str
    target: str
    precision: str
    codec: str
    bundle_sha256: str
    engine: str
    """With its version."""
    coder: str
    threads: int | None
    device: dict[str, Any]
    """See :mod:`profiling.device`; ``before`` and ``after`` are what may change meanwhile."""
    doubts: list[str]
    """Why these figures may not be the machine's best."""
    warmup: int
    runs: int
    stages: dict[str, dict[str, float]]
    """Stage, ``total`` and ``decode`` -> p50, p90, p99, mean, min."""
    samples: dict[str, list[float]]
    """The same keys, every counted encode in order; of ``decode`` there may be fewer or none."""
    turns: list[dict[str, Any]]
    """The encodes came in turns with those of other bundles: ``seconds`` since the beginning, ``runs``, and the
    machine's state (``celsius``, ``megahertz``) at the end of each."""
    load_ms: float
    """From nothing to an encoder that is ready, imports of the engine included."""
    first_run_ms: float
    peak_rss_mb: float
    """Of the process that loaded the encoder and ran it once."""
    encoder_parameters: int
    encoder_bits: int
    """As SC2 counts them, over the encoder that ships."""
    encoder_bits_fp32: int | None
    """The same of the model before it was exported, buffers of its checkpoint included."""
    macs: int | None
    """Multiply-accumulates of the encoder for one picture."""
    payload_bytes: dict[str, float]
    wire_bytes: dict[str, float]
    legacy_bytes: dict[str, float] | None
    """What the original counts: its pickle around these coded bytes; None where it pickles nothing."""
    payloads: list[int]
    """Payload bytes of each different picture."""
    bpp: float
    pictures: int
    picture_size: int
    date: str
    version: str
    """Of this project."""
    commit: str | None
    """The same where it runs from a checkout; ``+`` behind it: with changes of its own."""
    energy: dict[str, Any] | None = None
    """``joules`` an encode, ``watts``, and the ``source`` that told them, where the board tells."""
    side_channel_bytes: int = 0
    """Of the payload: what no range coder has seen, but a receiver needs."""
    task: dict[str, Any] | None = None
    """Accuracy over labelled pictures: ``top1`` and ``top5`` in percent, their ``n``, what they were taken on, and the
    ``bpp`` and mean bytes (``payload``, ``wire``, ``legacy``) of those pictures."""
    estimated_bpp: float | None = None
    """What the prior charges for the symbols, position by position."""
    schema: int = SCHEMA

    @property
    def subject(self) -> Subject:
        """What was measured."""
        device = str(self.device["name"])
        return Subject(
            self.model, self.target, self.precision, self.codec, self.bundle_sha256, self.threads, device
        )  # fmt: skip

    @property
    def weights_name(self) -> str:
        """In short: what tells them from others of the same model."""
        return self.weights.partition(",")[0].removeprefix(f"{self.model}-")

    @property
    def rate(self) -> float:
        """Bits a pixel of the pictures that its accuracy is of, where that is known."""
        return float((self.task or {}).get("bpp") or self.bpp)

    def __post_init__(self) -> None:
        """What tables rely on, wherever the record comes from."""
        if self.schema != SCHEMA:
            raise ValueError(f"its schema is {self.schema}, this version reads {SCHEMA}")
        for stage in (*STAGES, "total"):
            _numbers(self.stages[stage], _STATISTICS)
            [float(sample) for sample in self.samples[stage]]
        if not self.samples["total"] or len(self.samples["total"]) != self.runs:
            raise ValueError(f"it counts {self.runs} runs and holds samples of {len(self.samples['total'])}")
        for sizes in (self.payload_bytes, self.wire_bytes, *([self.legacy_bytes] if self.legacy_bytes else [])):
            _numbers(sizes, _STATISTICS)
        if not isinstance(self.device.get("name"), str):
            raise ValueError("its device has no name")


@dataclass(frozen=True)
class Failure:
    """A bundle that was to be measured and could not be."""

    failure: str
    """Why, in words."""
    subject: Subject
    date: str
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        """See :class:`Record`."""
        if isinstance(self.subject, dict):
            object.__setattr__(self, "subject", Subject(**self.subject))


@dataclass(frozen=True)
class Results:
    """What files of records say, in their order."""

    records: list[Record]
    failures: list[Failure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was passed over, and why."""


Entry = Record | Failure
T = TypeVar("T")


def read(*paths: Path) -> Results:
    """Every record and failure of these files; what stands there twice counts once."""
    for path in paths:
        if path.is_dir():
            raise RecordError(f"{path} is a folder; name the files of records in it")
    results = parse(*((str(path), path.read_bytes()) for path in paths))
    if not results.records and not results.failures:
        listed = ", ".join(map(str, paths))
        because = f" ({results.notes[0]})" if results.notes else ""
        raise RecordError(f"{listed}: no records{because}; make some with python -m profiling run")
    return results


def parse(*named: tuple[str, bytes]) -> Results:
    """The same of contents, each with the name that notes call it by; there may be nothing in them."""
    found: dict[str, Entry] = {}
    notes = []
    for name, content in named:
        for number, line in enumerate(content.decode(errors="replace").split("\n"), 1):
            if not line.strip():
                continue
            if line in found:
                notes.append(f"{name}, line {number} stands there before: counted once")
                continue
            try:
                found[line] = _entry(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as why:
                notes.append(f"{name}, line {number} passed over: {_in_words(why)}")
    entries = list(found.values())
    return Results(_of(Record, entries), _of(Failure, entries), notes)


def latest(results: Results) -> Results:
    """One row a subject: of several runs the last, and failures only of what was not measured since.

    Accuracy is a bundle's, whatever machine it was found on: rows take it from the bundle's last evaluation. An
    evaluation is a row of its own only where its bundle was not timed anywhere.
    """
    ordered = sorted(results.records, key=lambda record: record.date)
    runs = [record for record in ordered if record.task is None]
    evaluated = {record.bundle_sha256: record for record in ordered if record.task is not None}
    timed = {record.bundle_sha256 for record in runs}
    alone = [record for record in ordered if record.task is not None and record.bundle_sha256 not in timed]
    last = {record.subject: record for record in [*alone, *runs]}
    notes = []
    for subject, record in last.items():
        if earlier := sum(other.subject == subject and other.date < record.date for other in runs):
            plural = "s" * (earlier > 1)
            notes.append(f"{subject.title}: {earlier} earlier run{plural} left out, that of {record.date} stands")
    failed = {failure.subject: failure for failure in sorted(results.failures, key=lambda failure: failure.date)}
    pending = [f for f in failed.values() if f.subject not in last or last[f.subject].date < f.date]
    rows = [record for record in results.records if last.get(record.subject) is record]
    return Results([_with_accuracy(row, evaluated) for row in rows], pending, [*results.notes, *notes])


def _with_accuracy(row: Record, evaluated: Mapping[str, Record]) -> Record:
    found = evaluated.get(row.bundle_sha256)
    return replace(row, task=found.task, estimated_bpp=found.estimated_bpp) if found else row


def write(path: Path, entries: Iterable[Entry]) -> None:
    """Write them all, one line each."""
    write_atomically(path, "".join(map(_line, entries)).encode())


def append(path: Path, *entries: Entry) -> None:
    """Add to a file; all that it holds stays, what cannot be read too."""
    check_output(path)
    before = path.read_bytes() if path.exists() else b""
    if before and not before.endswith(b"\n"):
        before += b"\n"
    write_atomically(path, before + "".join(map(_line, entries)).encode())


def check_output(path: Path) -> None:
    """Refuse to add records to a file that is something else."""
    if path.exists() and path.stat().st_size:
        try:
            read(path)
        except RecordError as why:
            raise RecordError(f"{why}; records are not added to it: choose another file with -o") from why


def _line(entry: Entry) -> str:
    return json.dumps(asdict(entry)) + "\n"


def _entry(fields: Any) -> Entry:
    if fields.get("schema") != SCHEMA:
        raise ValueError(f"its schema is {fields.get('schema')}, this version reads {SCHEMA}")
    return Failure(**fields) if "failure" in fields else Record(**fields)


def _in_words(why: Exception) -> str:
    if isinstance(why, json.JSONDecodeError):
        return "not a whole line of JSON"
    if isinstance(why, KeyError):
        return f"it has no {why}"
    text = str(why).removeprefix("Record.__init__() ").removeprefix("Failure.__init__() ")
    return text if isinstance(why, ValueError) else f"not a record: {text}"


def _of(kind: type[T], entries: Sequence[object]) -> list[T]:
    return [entry for entry in entries if isinstance(entry, kind)]


def _numbers(values: dict[str, float], names: Iterable[str]) -> None:
    for name in names:
        if not isinstance(values[name], (int, float)):
            raise TypeError(f"{name} is no number")
