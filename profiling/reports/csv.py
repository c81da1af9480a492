"""Comma-separated values, everything but raw samples: for spreadsheets and plotting scripts."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from profiling.records import Record
from profiling.reports.columns import ALL


def render(records: Sequence[Record]) -> str:
    """A heading and one row a record; numbers unrounded."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(column.name for column in ALL)
    for record in records:
        values = (column.value(record) for column in ALL)
        writer.writerow("" if value is None else value for value in values)
    return text.getvalue().rstrip("\n")
