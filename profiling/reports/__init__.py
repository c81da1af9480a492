"""Report formats, one file each: ``render(records) -> text``."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from profiling.records import Record
from runtime.errors import UnknownName

FORMATS = {"pcs": "profiling.reports.pcs"}


def render(name: str, records: Sequence[Record]) -> str:
    """The named format's text."""
    if name not in FORMATS:
        raise UnknownName("report format", name, FORMATS)
    text: str = importlib.import_module(FORMATS[name]).render(records)
    return text
