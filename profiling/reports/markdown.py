"""A Markdown table of what a person compares, and a line about each device."""

from __future__ import annotations

from collections.abc import Sequence

from profiling.records import Record
from profiling.reports.columns import SUMMARY
from profiling.reports.pcs import notes


def render(records: Sequence[Record]) -> str:
    """One row a record."""
    head = [column.name for column in SUMMARY]
    rows = [[column.shown(record) for column in SUMMARY] for record in records]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join([*("| " + " | ".join(line) + " |" for line in lines), "", *notes(records)])
