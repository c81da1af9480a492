"""How many bytes pictures cost: not all the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from profiling.plots import NothingToDraw
from profiling.plots.style import COLUMN, PAGE, SKY, names, new_figure, shown, wrapped
from profiling.records import Record, Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "Payload bytes of each picture"

_BARS, _COLUMNS = 24, 3
#: Of a heading's line, by the number of columns.
_LETTERS = (48, 48, 31)
#: Panels share their axis, unless one needs so many times the bytes of another.
_FAR_APART = 4


def draw(results: Results) -> Figure:
    """A histogram for each bundle, with its mean and its 90th percentile."""
    records = _distinct(results)
    if not records:
        raise NothingToDraw("no record counts its payloads one by one: measure again with python -m profiling run")
    largest = [max(record.payloads) for record in records]
    together = max(largest) <= _FAR_APART * min(largest)
    columns = min(len(records), _COLUMNS)
    rows = math.ceil(len(records) / columns)
    figure = new_figure(PAGE if columns > 1 else COLUMN, 0.5 + 1.5 * rows)
    panels: list[Axes] = list(figure.subplots(rows, columns, squeeze=False).flat)
    for panel, record, called in zip(panels, records, names(records, say_device=False), strict=False):
        edges = bins([n for each in (records if together else [record]) for n in each.payloads])
        _histogram(panel, record, edges)
        mean, most = (shown(record.payload_bytes[name]) for name in ("mean", "p90"))
        panel.set_title(f"{wrapped(called, _LETTERS[columns - 1], 3)}\nmean {mean}, p90 {most}", loc="left")
    for panel in panels[len(records) :]:
        panel.remove()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=2)
    figure.supxlabel("payload bytes", fontsize=8)
    figure.supylabel("pictures", fontsize=8)
    return figure


def bins(payloads: Sequence[int]) -> list[float]:
    """Edges between whole numbers, round about as many bars as are legible."""
    width = max(1, math.ceil((max(payloads) - min(payloads) + 1) / _BARS))
    low = min(payloads) - 0.5
    count = math.ceil((max(payloads) + 0.5 - low) / width)
    return [low + width * index for index in range(count + 1)]


def _distinct(results: Results) -> list[Record]:
    """A bundle gives the same payloads on every machine."""
    found: dict[tuple[object, ...], Record] = {}
    for record in results.records:
        if record.payloads:
            found.setdefault((record.model, record.subject.artifact, tuple(record.payloads)), record)
    return list(found.values())


def _histogram(panel: Axes, record: Record, edges: Sequence[float]) -> None:
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    panel.hist(record.payloads, bins=list(edges), color=SKY, edgecolor="white", linewidth=0.4)
    for name, dashes in (("mean", "-"), ("p90", "--")):
        panel.axvline(record.payload_bytes[name], color="black", linestyle=dashes, linewidth=1, label=name)
    # A single value is drawn as a bar, not as a wall.
    room = max(0.04 * (edges[-1] - edges[0]), 0.02 * edges[-1] if len(edges) < 6 else 0)
    panel.set_xlim(edges[0] - room, edges[-1] + room)
    panel.xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=2))
    panel.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    panel.yaxis.set_major_locator(MaxNLocator(4, integer=True))
