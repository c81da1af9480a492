"""Records: one JSON object a line, the only truth that tables are made from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runtime.errors import SplitportError
from runtime.files import write_atomically

SCHEMA = 1


class RecordError(SplitportError, ValueError):
    """A line that is not a record of this schema."""


@dataclass(frozen=True)
class Record:
    """One bundle measured on one machine. Times in milliseconds, sizes in bytes."""

    model: str
    weights: str
    target: str
    precision: str
    engine: str
    coder: str
    threads: int | None
    device: dict[str, Any]
    doubts: list[str]
    """Why these figures may not be the machine's best."""
    warmup: int
    runs: int
    stages: dict[str, dict[str, float]]
    """Stage (and ``total``) -> p50, p90, p99, mean, min."""
    samples: dict[str, list[float]]
    load_ms: float
    peak_rss_mb: float
    encoder_parameters: int
    encoder_bits: int
    macs: int | None
    """Multiply-accumulates of the encoder for one picture."""
    payload_bytes: dict[str, float]
    wire_bytes: dict[str, float]
    bpp: float
    pictures: int
    picture_size: int
    date: str
    side_channel_bytes: int = 0
    """Of the payload: what no range coder has seen, but a receiver needs."""
    task: dict[str, Any] | None = None
    """Accuracy over labelled pictures: ``top1`` and ``top5`` in percent, their ``n``, and what they were taken on."""
    estimated_bpp: float | None = None
    """What the prior charges for the symbols, position by position."""
    schema: int = SCHEMA


def write(path: Path, records: list[Record]) -> None:
    """Write all records, one line each."""
    write_atomically(path, "".join(json.dumps(asdict(r)) + "\n" for r in records).encode())


def append(path: Path, record: Record) -> None:
    """Add a record to a file that may hold others already."""
    write(path, [*(read(path) if path.exists() else []), record])


def read(path: Path) -> list[Record]:
    """Read records; the first line that is none is named."""
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            fields = json.loads(line)
            if fields["schema"] != SCHEMA:
                raise ValueError(f"schema {fields['schema']}")
            records.append(Record(**fields))
        except (ValueError, KeyError, TypeError) as why:
            raise RecordError(f"{path}, line {number} is not a record of schema {SCHEMA}: {why}") from why
    if not records:
        raise RecordError(f"{path} holds no records; make some with python -m profiling run")
    return records
