"""Every encode in its order, and what the machine did meanwhile: where a device slows down, it shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Literal, NamedTuple

from profiling.plots import NothingToDraw
from profiling.plots.style import BLUE, GREEN, GREY, PAGE, VERMILLION, names, new_figure, wrapped
from profiling.records import Record, Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec

TITLE = "Latency over time"


class _Kind(NamedTuple):
    """Something that turns may tell of the machine."""

    key: str
    unit: str
    name: str
    colour: str
    marker: str
    dashes: Literal["-", "--"]


_STATE = (
    _Kind("celsius", "°C", "temperature", VERMILLION, "o", "-"),
    _Kind("megahertz", "MHz", "clock", GREEN, "s", "--"),
)
#: Inches: a panel of latencies with its heading, and one of the machine's state below it.
_PANEL, _STRIP = 1.05, 0.55


def draw(results: Results) -> Figure:
    """A panel a record: total milliseconds of each encode; below it temperature and clock, where they are known."""
    records = results.records
    if not records:
        raise NothingToDraw("nothing was measured: measure a bundle with python -m profiling run")
    columns = 1 if len(records) == 1 else 2 if len(records) <= 8 else 3
    rows = math.ceil(len(records) / columns)
    timed = all(moments(record) for record in records)
    kinds = [kind for kind in _STATE if timed and any(_told(record, kind) for record in records)]
    figure = new_figure(PAGE, 0.45 + rows * (_PANEL + _STRIP * bool(kinds)))
    grid = figure.add_gridspec(rows, columns)
    for index, (record, name) in enumerate(zip(records, names(records, say_threads=True), strict=True)):
        cell = grid[divmod(index, columns)]
        panel = _panels(figure, cell, record, timed, kinds)
        panel.set_title(wrapped(name, 100 // columns - 2, 3), loc="left")
    figure.supxlabel("seconds since the beginning" if timed else "encodes since the beginning", fontsize=8)
    figure.supylabel("latency, ms", fontsize=8)
    _legend(figure, kinds)
    return figure


def moments(record: Record) -> list[float]:
    """Seconds at which each encode ended, reckoned back from the end of its turn; empty where turns do not tell."""
    turns, totals = record.turns, record.samples["total"]
    if not all("seconds" in turn and turn.get("runs", 0) > 0 for turn in turns):
        return []
    if sum(turn["runs"] for turn in turns) != len(totals):
        return []
    found: list[float] = []
    for turn in turns:
        took = [ms / 1e3 for ms in totals[len(found) : len(found) + turn["runs"]]]
        begin = turn["seconds"] - sum(took)
        found += [begin + since for since in accumulate(took)]
    return found


def _panels(figure: Figure, cell: SubplotSpec, record: Record, timed: bool, kinds: Sequence[_Kind]) -> Axes:
    """Latencies, and below them what is known of the machine."""
    told = [kind for kind in kinds if _told(record, kind)]
    parts = cell.subgridspec(1 + bool(told), 1, height_ratios=[_PANEL, _STRIP][: 1 + bool(told)])
    panel: Axes = figure.add_subplot(parts[0])
    totals = record.samples["total"]
    at = moments(record) if timed else [float(number) for number in range(1, len(totals) + 1)]
    panel.plot(at, totals, ".", color=BLUE, markersize=2.5)
    panel.axhline(record.stages["total"]["p50"], color=GREY, linewidth=0.6, zorder=1)
    panel.set_xlim(min(0, *at), 1.04 * max(at))
    panel.grid(axis="y")
    if told:
        strip = figure.add_subplot(parts[1], sharex=panel)
        panel.tick_params(labelbottom=False)
        strip.set_yticks([])
        for kind in told:
            _state(strip if kind is kinds[0] else strip.twinx(), record, kind)
    return panel


def _state(axes: Axes, record: Record, kind: _Kind) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.plot(
        *zip(*_told(record, kind), strict=True), color=kind.colour, marker=kind.marker, linestyle=kind.dashes,
        markersize=2.5, linewidth=0.8,
    )  # fmt: skip
    axes.spines["right"].set_visible(axes.yaxis.get_ticks_position() == "right")
    axes.margins(y=0.25)
    axes.yaxis.set_major_locator(MaxNLocator(2, min_n_ticks=2, steps=[1, 2, 5, 10]))


def _told(record: Record, kind: _Kind) -> list[tuple[float, float]]:
    """Seconds and values, of the turns that tell."""
    turns = (turn for turn in record.turns if turn.get(kind.key) is not None and "seconds" in turn)
    return [(turn["seconds"], turn[kind.key]) for turn in turns]


def _legend(figure: Figure, kinds: Sequence[_Kind]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=BLUE, marker=".", linestyle="none", label="one encode"),
        Line2D([], [], color=GREY, linewidth=0.6, label="median"),
    ]
    for kind, side in zip(kinds, ("left", "right"), strict=False):
        label = f"{kind.name}, {kind.unit} ({side})"
        handles.append(Line2D([], [], color=kind.colour, marker=kind.marker, linestyle=kind.dashes, label=label))
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))
