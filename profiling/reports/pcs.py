"""The latency table in the form of the PCS 2022 paper, as Markdown: one row a model, one line about the device."""

from __future__ import annotations

from collections.abc import Sequence

from profiling.records import Record


def render(records: Sequence[Record]) -> str:
    """Model, Latency, Link; Link names the artifact that was measured."""
    rows = ["| model | Latency | Link |", "|---|---|---|"]
    notes = []
    for record in records:
        rows.append(
            f"| {record.model} | {record.stages['total']['p50']:#.3g} ms | {record.target} {record.precision} |"
        )
        note = _note(record)
        if note not in notes:
            notes.append(note)
    return "\n".join([*rows, "", *notes])


def _note(record: Record) -> str:
    size = record.picture_size
    threads = {None: "threads left to the engine", 1: "1 thread"}.get(record.threads, f"{record.threads} threads")
    untrained = f"; weights {record.weights}" if "not trained" in record.weights else ""
    return (
        f"Latency: encode one {size}x{size} RGB picture in memory, including entropy coding; median of {record.runs}; "
        f"{record.device['name']} ({record.device['cpu']}), {threads}{untrained}."
    )
