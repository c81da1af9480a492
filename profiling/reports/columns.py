"""What a table can say of a record, in one place for all formats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from profiling.records import Record

Value = str | float | int | None


@dataclass(frozen=True)
class Column:
    """A heading, and what stands below it for a record; ``digits`` is how many significant ones people are shown."""

    name: str
    value: Callable[[Record], Value]
    digits: int | None = None

    def shown(self, record: Record) -> str:
        """For people."""
        value = self.value(record)
        if value is None:
            return ""
        if isinstance(value, float):
            return f"{value:#.{self.digits or 4}g}".rstrip(".")
        return f"{value:,}" if isinstance(value, int) else value


def _stage(stage: str, percentile: str) -> Callable[[Record], Value]:
    return lambda record: record.stages[stage][percentile]


def _size(kind: str, percentile: str) -> Callable[[Record], Value]:
    return lambda record: float(getattr(record, f"{kind}_bytes")[percentile])


def _task(name: str) -> Callable[[Record], Value]:
    return lambda record: (record.task or {}).get(name)


def threads(record: Record) -> str:
    """In words."""
    return "engine's choice" if record.threads is None else str(record.threads)


#: What a person compares.
SUMMARY = (
    Column("model", lambda r: r.model),
    Column("bundle", lambda r: f"{r.target} {r.precision}"),
    Column("threads", threads),
    Column("latency ms", _stage("total", "p50"), 3),
    Column("p90 ms", _stage("total", "p90"), 3),
    Column("network ms", _stage("network", "p50"), 3),
    Column("coding ms", _stage("code", "p50"), 3),
    Column("payload B", _size("payload", "mean"), 5),
    Column("wire B", _size("wire", "mean"), 5),
    Column("bpp", lambda r: r.bpp, 3),
    Column("encoder bits", lambda r: r.encoder_bits),
    Column("top-1 %", _task("top1"), 4),
)

#: Everything but raw samples.
ALL = (
    *SUMMARY[:2],
    Column("weights", lambda r: r.weights),
    Column("engine", lambda r: r.engine),
    Column("coder", lambda r: r.coder),
    Column("device", lambda r: str(r.device["name"])),
    Column("cpu", lambda r: str(r.device["cpu"])),
    Column("threads", lambda r: r.threads),
    Column("runs", lambda r: r.runs),
    *(
        Column(f"{stage} {name} ms", _stage(stage, name))
        for stage in ("total", "preprocess", "network", "code", "container")
        for name in ("p50", "p90", "p99", "mean", "min")
    ),
    Column("load ms", lambda r: r.load_ms),
    Column("peak RSS MB", lambda r: r.peak_rss_mb),
    *(Column(f"{kind} {name} B", _size(kind, name)) for kind in ("payload", "wire") for name in ("mean", "p50", "p90")),
    Column("beside the payload B", lambda r: r.side_channel_bytes),
    Column("bpp", lambda r: r.bpp),
    Column("encoder parameters", lambda r: r.encoder_parameters),
    Column("encoder bits", lambda r: r.encoder_bits),
    Column("MACs", lambda r: r.macs),
    Column("picture", lambda r: r.picture_size),
    Column("pictures", lambda r: r.pictures),
    Column("top-1 %", _task("top1")),
    Column("top-5 %", _task("top5")),
    Column("labelled", _task("n")),
    Column("date", lambda r: r.date),
)
