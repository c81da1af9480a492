"""Comma-separated values, everything but raw samples: for spreadsheets and plotting scripts."""

from __future__ import annotations

import csv
import io

from profiling.records import Results
from profiling.reports.columns import ALL, failed


def render(results: Results) -> str:
    """A heading and one row a record, numbers unrounded; then one a failure, whose last column says why."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*(column.name for column in ALL), "failure"])
    for record in results.records:
        writer.writerow([*(column.value(record) for column in ALL), None])
    for failure in results.failures:
        told = failed(failure)
        writer.writerow([*(told.get(column.name) for column in ALL), failure.failure])
    return text.getvalue().rstrip("\n")
