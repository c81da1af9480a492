"""Report formats, one file each: ``render(results) -> text``, a pure function of the records."""

from __future__ import annotations

import importlib

from profiling.records import Results
from runtime.errors import UnknownName, UsageError

FORMATS = {
    name: f"profiling.reports.{name}" for name in ("pcs", "markdown", "latex", "csv", "json", "html")
}  # fmt: skip


def render(name: str, results: Results, baseline: str | None = None) -> str:
    """The named format's text; ``baseline`` "paper" adds what was published, in formats that have room for it."""
    if name not in FORMATS:
        raise UnknownName("report format", name, FORMATS)
    module = importlib.import_module(FORMATS[name])
    if baseline and not hasattr(module, f"with_{baseline}"):
        raise UsageError(f"format {name} has no baseline {baseline!r}; --format pcs has --baseline paper")
    text: str = getattr(module, f"with_{baseline}" if baseline else "render")(results)
    return text
