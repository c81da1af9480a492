"""What reports can say of a record, in one place for all formats."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any

from profiling.legacy import sc2_kilobytes
from profiling.records import STAGES, Failure, Record, Results

Value = str | float | int | None


@dataclass(frozen=True)
class Column:
    """A heading, and what stands below it for a record; ``digits`` is how many significant ones people are shown."""

    name: str
    value: Callable[[Record], Value]
    digits: int = 4
    unknown: str = ""
    """What people are shown where there is no value."""

    def shown(self, record: Record) -> str:
        """For people."""
        value = self.value(record)
        if value is None:
            return self.unknown
        if isinstance(value, float):
            return number(value, self.digits)
        return f"{value:,}" if isinstance(value, int) else value


def number(value: float, digits: int) -> str:
    """So many significant digits, however large or small, and never an exponent."""
    if not math.isfinite(value):
        return str(value)
    exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])
    return f"{value:,.{max(0, digits - 1 - exponent)}f}"


def _stage(stage: str, statistic: str) -> Callable[[Record], Value]:
    return lambda record: record.stages.get(stage, {}).get(statistic)


def _bytes(kind: str, statistic: str) -> Callable[[Record], Value]:
    def value(record: Record) -> Value:
        found = getattr(record, f"{kind}_bytes")
        return None if found is None else float(found[statistic])

    return value


def _of(attribute: str, name: str) -> Callable[[Record], Value]:
    """An entry of a dictionary that may be absent or hold less."""
    return lambda record: _plain((getattr(record, attribute) or {}).get(name))


def _celsius(moment: str) -> Callable[[Record], Value]:
    return lambda record: _plain((record.device.get(moment) or {}).get("celsius"))


def _plain(value: Any) -> Value:
    return value if value is None or isinstance(value, (int, float)) else str(value)


def _data_size(record: Record) -> float | None:
    return None if record.legacy_bytes is None else sc2_kilobytes(record.legacy_bytes["mean"])


_MODEL = Column("model", lambda r: r.model)
_BUNDLE = Column("bundle", lambda r: r.subject.artifact)
_DEVICE = Column("device", lambda r: r.subject.device)
_THREADS = Column("threads", lambda r: r.threads, unknown="engine's choice")
_BPP = Column("bpp", lambda r: r.bpp, 3)
_BITS = Column("encoder bits", lambda r: r.encoder_bits)
_TOP1 = Column("top-1 %", _of("task", "top1"))

#: What a person compares.
SUMMARY = (
    _MODEL,
    _BUNDLE,
    _DEVICE,
    _THREADS,
    Column("latency ms", _stage("total", "p50"), 3),
    Column("p90 ms", _stage("total", "p90"), 3),
    Column("network ms", _stage("network", "p50"), 3),
    Column("coding ms", _stage("code", "p50"), 3),
    Column("payload B", _bytes("payload", "mean")),
    Column("wire B", _bytes("wire", "mean")),
    Column("legacy B", _bytes("legacy", "mean")),
    _BPP,
    _BITS,
    _TOP1,
)

_NAMES = SUMMARY[:4]
#: Shown where rows would else be named alike.
_TELLING = (Column("weights", lambda r: r.weights_name), Column("bundle id", lambda r: r.bundle_sha256[:8]))

#: Stage -> what is told of it.
TIMES = {
    stage: tuple(Column(f"{stage} {name} ms", _stage(stage, name), 3) for name in ("p50", "p90", "p99", "mean", "min"))
    for stage in ("total", *STAGES, "decode")
}
LOAD, FIRST_RUN, PEAK_RSS = (
    Column("load ms", lambda r: r.load_ms, 3),
    Column("first run ms", lambda r: r.first_run_ms, 3),
    Column("peak RSS MB", lambda r: r.peak_rss_mb),
)

#: Everything but raw samples, by what it is about.
GROUPS = {
    "bundle": (
        _MODEL,
        _BUNDLE,
        Column("codec", lambda r: r.codec),
        Column("weights", lambda r: r.weights),
        Column("engine", lambda r: r.engine),
        Column("coder", lambda r: r.coder),
        Column("bundle sha256", lambda r: r.bundle_sha256),
    ),
    "machine": (
        _DEVICE,
        Column("cpu", _of("device", "cpu")),
        Column("governor", _of("device", "governor")),
        _THREADS,
        Column("celsius before", _celsius("before")),
        Column("celsius after", _celsius("after")),
        Column("doubts", lambda r: "; ".join(r.doubts) or None),
    ),
    "times": (Column("runs", lambda r: r.runs), *chain(*TIMES.values()), LOAD, FIRST_RUN),
    "bytes": (
        *(
            Column(f"{kind} {name} B", _bytes(kind, name))
            for kind in ("payload", "wire", "legacy")
            for name in ("mean", "p50", "p90")
        ),
        Column("beside the payload B", lambda r: r.side_channel_bytes),
        Column("SC2 data size KB", _data_size),
        _BPP,
        Column("picture", lambda r: r.picture_size),
        Column("pictures", lambda r: r.pictures),
    ),
    "encoder": (
        Column("encoder parameters", lambda r: r.encoder_parameters),
        _BITS,
        Column("encoder bits fp32", lambda r: r.encoder_bits_fp32),
        Column("MACs", lambda r: r.macs),
        PEAK_RSS,
        Column("energy joules", _of("energy", "joules"), 3),
        Column("energy watts", _of("energy", "watts"), 3),
        Column("energy source", _of("energy", "source")),
    ),
    "task": (_TOP1, Column("top-5 %", _of("task", "top5")), Column("labelled", _of("task", "n"))),
    "origin": (
        Column("date", lambda r: r.date),
        Column("version", lambda r: r.version),
        Column("commit", lambda r: r.commit),
    ),
}
ALL = tuple(chain(*GROUPS.values()))


def failed(failure: Failure) -> dict[str, Value]:
    """What is known of a bundle that could not be measured: column -> value."""
    subject = failure.subject
    return {
        "model": subject.model,
        "bundle": subject.artifact,
        "codec": subject.codec,
        "bundle sha256": subject.bundle_sha256,
        "device": subject.device,
        "threads": subject.threads,
        "latency ms": "not measured",
        "date": failure.date,
    }


def summary(results: Results) -> tuple[Column, ...]:
    """SUMMARY, and what else it takes to tell these rows apart."""
    names = list(_NAMES)
    for column in _TELLING:
        alike: dict[tuple[Value, ...], set[Value]] = {}
        for record in results.records:
            alike.setdefault(tuple(name.value(record) for name in names), set()).add(column.value(record))
        if any(len(values) > 1 for values in alike.values()):
            names.append(column)
    return (*names, *SUMMARY[len(_NAMES) :])


def link(record: Record, results: Results) -> str:
    """What was exported, and what else tells it from others of these results."""
    more = [column.shown(record) for column in summary(results) if column in _TELLING]
    return ", ".join([record.subject.artifact, *more])


def known(results: Results, columns: Iterable[Column]) -> list[Column]:
    """Those that something is known for; of bundles that could not be measured that is their name."""
    told = {name for failure in results.failures for name, value in failed(failure).items() if value is not None}
    return [
        column
        for column in columns
        if column.unknown or column.name in told or any(column.value(record) is not None for record in results.records)
    ]


def numeric(column: Column, results: Results) -> bool:
    """Does it hold numbers, wherever it holds anything?"""
    values = [column.value(record) for record in results.records]
    return not any(isinstance(value, str) for value in values) and column not in (_MODEL, _BUNDLE, _DEVICE, *_TELLING)


def notes(results: Results) -> list[str]:
    """Below a table: what was measured and where, doubts, and why a bundle could not be measured."""
    return [*setups(results), *doubts(results), *failures(results)]


def setups(results: Results) -> list[str]:
    """One line for all records that share it, however often each of them was run."""
    runs: dict[tuple[str, str], list[int]] = {}
    for record in results.records:
        runs.setdefault(_setup(record), []).append(record.runs)
    return [f"{what}; median of {_range(counts)}; {where}" for (what, where), counts in runs.items()]


def setup_number(results: Results, record: Record) -> int:
    """Which of these lines, from one on."""
    return 1 + list(dict.fromkeys(map(_setup, results.records))).index(_setup(record))


def _range(counts: list[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def doubts(results: Results) -> list[str]:
    """One line each."""
    found = [f"{record.subject.title}: {doubt}." for record in results.records for doubt in record.doubts]
    return list(dict.fromkeys(found))


def failures(results: Results) -> list[str]:
    """One line each."""
    return [f"{each.subject.title}: not measured: {each.failure.rstrip('.')}." for each in results.failures]


def _setup(record: Record) -> tuple[str, str]:
    """What its latency is the time of, and where it was taken."""
    side, name = record.picture_size, record.subject.device
    threads = {None: "threads left to the engine", 1: "1 thread"}.get(record.threads, f"{record.threads} threads")
    cpu = record.device.get("cpu")
    untrained = f"; weights {record.weights}" if "not trained" in record.weights else ""
    return (
        f"Latency: encode one {side}x{side} RGB picture in memory, including entropy coding",
        f"{name}{f' ({cpu})' if cpu else ''}, {threads}{untrained}.",
    )
