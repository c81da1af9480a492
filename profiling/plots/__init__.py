"""Plots, one file each: ``draw(results) -> Figure``, a pure function of the records.

Each module also has a ``TITLE``, for a heading outside the figure. Text stays as it stands in the records, widths are
those of a paper's column, and the same records give the same bytes on every machine.
"""

from __future__ import annotations

import importlib
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from profiling.plots.style import styled
from profiling.records import Results
from runtime.errors import UnknownName, UsageError
from runtime.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLOTS = {
    "rate-accuracy": "profiling.plots.rate_accuracy",
    "latency": "profiling.plots.latency",
    "tradeoff": "profiling.plots.tradeoff",
    "payloads": "profiling.plots.payloads",
    "timeline": "profiling.plots.timeline",
}

#: What would tell when and with what a file was written.
_NO_METADATA: dict[str, dict[str, Any]] = {
    "pdf": dict.fromkeys(("Creator", "Producer", "CreationDate")),
    "png": {"Software": None},
    "svg": dict.fromkeys(("Creator", "Date", "Format", "Type")),
}


class NothingToDraw(UsageError):
    """The records lack what a plot shows; says what, and which command makes it."""


def draw(name: str, results: Results) -> Figure:
    """The named plot of these results."""
    if name not in PLOTS:
        raise UnknownName("plot", name, PLOTS)
    with styled(name):
        figure: Figure = importlib.import_module(PLOTS[name]).draw(results)
        figure.set_label(name)
        # Once and for all: a layout that is found again from where it ended is not quite the same.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    return figure


def drawable(results: Results) -> list[tuple[str, str, Figure]]:
    """Name, title and figure of every plot that these results have something for."""
    found = []
    for name, module in PLOTS.items():
        try:
            found.append((name, str(importlib.import_module(module).TITLE), draw(name, results)))
        except NothingToDraw:
            continue
    return found


def svg(figure: Figure) -> str:
    """An ``<svg>`` element that can stand in a page: as wide as the figure, narrower where there is no room.

    Its text is text. No identifier or rule in it means anything to another figure beside it.
    """
    text = _rendered(figure, "svg").decode()
    text = text[text.index("<svg") :].rstrip()
    # These names are the same in all figures, and nothing refers to them.
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    # In a page, this rule would be every element's.
    text = re.sub(r"\s*<defs>\s*<style[^>]*>[^<]*</style>\s*</defs>", "", text, count=1)
    inherited = "stroke-linejoin: round; stroke-linecap: butt; max-width: 100%; height: auto"
    return text.replace("<svg ", f'<svg style="{inherited}" ', 1)


def write(figure: Figure, path: Path) -> None:
    """A PDF, SVG or PNG file, by its suffix."""
    kind = path.suffix.removeprefix(".")
    if kind not in _NO_METADATA:
        raise UsageError(f"{path}: a plot is written as one of: {', '.join(_NO_METADATA)}")
    if kind == "svg":
        content = f'<?xml version="1.0" encoding="utf-8"?>\n{svg(figure)}\n'.encode()
    else:
        content = _rendered(figure, kind)
    write_atomically(path, content)


def _rendered(figure: Figure, kind: str) -> bytes:
    content = io.BytesIO()
    with styled(str(figure.get_label())):
        figure.savefig(content, format=kind, metadata=_NO_METADATA[kind])
    return content.getvalue()
