"""The three things that SC2 weighs against each other: data to send, accuracy, and how large the encoder is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from profiling.legacy import sc2_kilobytes
from profiling.plots import NothingToDraw
from profiling.plots.style import COLUMN, GREY, logarithmic, looks, new_figure, plain, wrapped
from profiling.records import Record, Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "Data, accuracy and encoder"

#: Of the largest bubble, in square points.
_AREA = 600.0
#: Where the most data are so many times the least, their axis is logarithmic.
_FAR_APART = 10


def draw(results: Results) -> Figure:
    """A bubble a record; its area is the encoder's bits."""
    records = [record for record in results.records if (record.task or {}).get("top1") is not None]
    if not records:
        raise NothingToDraw(
            "no record has a top-1 accuracy: python -m encoders evaluate measures it over a labelled folder"
        )
    legacy = all(record.legacy_bytes for record in records)  # one measure for all bubbles
    largest = max(1, *(record.encoder_bits for record in records))
    figure = new_figure(COLUMN, 1)
    axes = figure.subplots()
    # The small ones last: they would vanish behind the others.
    for record in sorted(_distinct(records), key=lambda record: -record.encoder_bits):
        _bubble(axes, record, kilobytes(record, legacy), largest, results)
    _limits(axes, [kilobytes(record, legacy) for record in records])
    axes.set_xlabel(
        "data to send as SC2 counts them, pickle included, KB" if legacy else "payload without SC2's pickle, KB"
    )
    data = dict.fromkeys(str((record.task or {}).get("data", "unnamed data")) for record in records)
    axes.set_ylabel(f"top-1 accuracy on {plain(', '.join(data), 24)}, %")
    axes.grid()
    _legends(figure, records, largest, results)
    return figure


def kilobytes(record: Record, legacy: bool) -> float:
    """Of one picture, on average, of those that the accuracy is of: as SC2 counts them, or of the payload alone."""
    task = record.task or {}
    if legacy and record.legacy_bytes:
        return sc2_kilobytes(task.get("legacy") or record.legacy_bytes["mean"])
    return float(task.get("payload") or record.payload_bytes["mean"]) / 1024


def _distinct(records: Sequence[Record]) -> list[Record]:
    """What only the machine tells apart is one bubble."""
    return list({(r.model, r.subject.artifact, r.rate, (r.task or {})["top1"]): r for r in records}.values())


def _bubble(axes: Axes, record: Record, x: float, largest: int, results: Results) -> None:
    from matplotlib.colors import to_rgba

    look = looks(results)[record.model, record.subject.artifact]
    y = float((record.task or {})["top1"])
    area = _AREA * record.encoder_bits / largest
    axes.scatter(x, y, area, color=to_rgba(look.colour, 0.25), edgecolor=look.colour, linewidth=0.7)
    axes.plot(x, y, look.marker, color=look.colour, markersize=3.5, markeredgecolor="white", markeredgewidth=0.4)


def _limits(axes: Axes, x: Sequence[float]) -> None:
    axes.margins(0.18)
    if min(x) > 0 and max(x) > _FAR_APART * min(x):
        axes.set_xscale("log")
        axes.set_xlim(*logarithmic(axes.xaxis, min(x), max(x)))


def _legends(figure: Figure, records: Sequence[Record], largest: int, results: Results) -> None:
    from matplotlib.colors import to_rgba
    from matplotlib.lines import Line2D

    drawn = {(record.model, record.subject.artifact) for record in records}
    series = [
        Line2D([], [], color=look.colour, marker=look.marker, linestyle="none", label=wrapped(" ".join(key), 48, 2))
        for key, look in looks(results).items()
        if key in drawn
    ]
    figure.set_figheight(3.0 + 0.165 * sum(str(line.get_label()).count("\n") + 1 for line in series))
    figure.legend(handles=series, loc="outside lower left", labelspacing=0.25)
    bubbles = [
        Line2D([], [], marker="o", markersize=(_AREA * bits / largest) ** 0.5, color=GREY, linestyle="none",
               markerfacecolor=to_rgba(GREY, 0.25), markeredgewidth=0.7, label=f"encoder of {bits / 1e6:g} Mbit")
        for bits in (_round(largest / 10), _round(largest))
    ]  # fmt: skip
    figure.legend(handles=bubbles, loc="outside upper left", ncols=2, borderpad=1.2, handletextpad=1.2)


def _round(bits: float) -> float:
    """One, two or five of something, and no more than these."""
    tens = 10.0 ** math.floor(math.log10(bits))
    return max(step * tens for step in (1, 2, 5) if step * tens <= bits)
