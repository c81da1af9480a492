"""The latency table in the form of the PCS 2022 paper, as Markdown: one row a model, one line about the device."""

from __future__ import annotations

from collections.abc import Sequence

from profiling.records import Record

#: Published for the same picture size, with the original's own code: model -> milliseconds.
PAPER = {"ours_n0": 3.95, "ours_n4": 6.70, "ours_n8": 10.2}
_PAPERS_DEVICE = "Rows marked PCS 2022 are the paper's own: PyTorch on an Intel Core i7-10700K, 8 threads."


def render(records: Sequence[Record]) -> str:
    """Model, Latency, Link; Link names the artifact that was measured."""
    return _table(records, [], [])


def with_paper(records: Sequence[Record]) -> str:
    """The same below the rows that the paper has for these models."""
    known = dict.fromkeys(record.model.removesuffix("_enc") for record in records)
    rows = [f"| {model} | {PAPER[model]:#.3g} ms | PCS 2022 |" for model in known if model in PAPER]
    return _table(records, rows, [_PAPERS_DEVICE] if rows else [])


def _table(records: Sequence[Record], before: Sequence[str], also: Sequence[str]) -> str:
    rows = ["| model | Latency | Link |", "|---|---|---|", *before]
    for record in records:
        rows.append(
            f"| {record.model} | {record.stages['total']['p50']:#.3g} ms | {record.target} {record.precision} |"
        )
    return "\n".join([*rows, "", *notes(records), *also])


def notes(records: Sequence[Record]) -> list[str]:
    """What was measured, and where: one line for all records that share it."""
    doubts = [
        f"{record.model} {record.target} {record.precision}: {doubt}." for record in records for doubt in record.doubts
    ]
    return list(dict.fromkeys([*map(_note, records), *doubts]))


def _note(record: Record) -> str:
    size = record.picture_size
    threads = {None: "threads left to the engine", 1: "1 thread"}.get(record.threads, f"{record.threads} threads")
    untrained = f"; weights {record.weights}" if "not trained" in record.weights else ""
    return (
        f"Latency: encode one {size}x{size} RGB picture in memory, including entropy coding; median of {record.runs}; "
        f"{record.device['name']} ({record.device['cpu']}), {threads}{untrained}."
    )
