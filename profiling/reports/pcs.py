"""The latency table in the form of the PCS 2022 paper, as Markdown: one row a model, one line about the device.

Where records come from several devices, or with several numbers of threads, each has a table and a line of its own.
"""

from __future__ import annotations

from profiling.published import DEVICE, LATENCY
from profiling.records import Failure, Record, Results
from profiling.reports.columns import link, notes, number
from profiling.reports.markdown import escaped, row

_PAPERS_DEVICE = f"Rows marked PCS 2022 are the paper's own: {DEVICE}."


def render(results: Results) -> str:
    """Model, Latency, Link; Link names the artifact that was measured."""
    return "\n\n".join(_table(part, [], []) for part in _parts(results))


def with_paper(results: Results) -> str:
    """The same below the rows that the paper has for these models."""
    known = dict.fromkeys(record.model.removesuffix("_enc") for record in results.records)
    rows = [row([model, _milliseconds(LATENCY[model]), "PCS 2022"]) for model in known if model in LATENCY]
    first, *more = _parts(results)
    also = [_PAPERS_DEVICE] if rows else []
    return "\n\n".join([_table(first, rows, also), *(_table(part, [], []) for part in more)])


def _parts(results: Results) -> list[Results]:
    """By device and threads."""
    parts: dict[tuple[str, int | None], Results] = {}

    def part(entry: Record | Failure) -> Results:
        return parts.setdefault((entry.subject.device, entry.subject.threads), Results([]))

    for record in results.records:
        part(record).records.append(record)
    for failure in results.failures:
        part(failure).failures.append(failure)
    return list(parts.values()) or [results]


def _table(results: Results, before: list[str], also: list[str]) -> str:
    rows = ["| model | Latency | Link |", "|---|---|---|", *before]
    for record in results.records:
        rows.append(row([record.model, _milliseconds(record.stages["total"]["p50"]), link(record, results)]))
    for failure in results.failures:
        rows.append(row([failure.subject.model, "not measured", failure.subject.artifact]))
    return "\n".join([*rows, "", *map(escaped, notes(results)), *also])


def _milliseconds(value: float) -> str:
    return f"{number(value, 3)} ms"
