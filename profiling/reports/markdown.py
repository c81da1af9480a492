"""A Markdown table of what a person compares, and a line about each device, doubt and failure."""

from __future__ import annotations

import re

from profiling.records import Results
from profiling.reports.columns import failed, notes, summary


def render(results: Results) -> str:
    """One row a record, then one a failure, without numbers."""
    columns = summary(results)
    rows = [[column.shown(record) for column in columns] for record in results.records]
    for failure in results.failures:
        told = failed(failure)
        rows.append([str(told.get(column.name) or column.unknown) for column in columns])
    head = [[column.name for column in columns], ["---"] * len(columns)]
    return "\n".join([*map(row, head), *map(row, rows), "", *map(escaped, notes(results))])


def row(cells: list[str]) -> str:
    """One line of a table."""
    return "| " + " | ".join(map(escaped, cells)) + " |"


def escaped(text: str) -> str:
    """Text on one line, without what Markdown would take for cells, tags, emphasis or links."""
    return re.sub(r"([\\|<*`]|\](?=\())", r"\\\1", " ".join(text.split()))
