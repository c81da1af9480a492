"""Where the time of an encode goes: a bar a record, device by device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from profiling.plots import NothingToDraw, style
from profiling.plots.style import GREY, names, new_figure, plain, shown, threads, wrapped
from profiling.records import STAGES, Failure, Record, Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "Latency by stage"

#: Stage -> colour, hatching, and what it is called.
_LOOKS = {
    "preprocess": (style.SKY, "\\\\\\\\", "preprocess"),
    "network": (style.BLUE, "", "network"),
    "code": (style.ORANGE, "////", "entropy coding"),
    "container": (style.PURPLE, "xxxx", "container"),
}
#: Where the longest bar is so many times the shortest, a second panel shows what the short ones consist of.
_FAR_APART = 5
#: Inches.
_ROW, _TWO_LINES = 0.19, 0.29
_DOUBTS = 3
#: Letters of a label in one line, and of what fits on a page beside all labels.
_LABEL, _LETTERS = 40, 100
#: In widths of the panel: where what is not part of the total stands.
_BESIDE = 1.015


@dataclass(frozen=True)
class _Row:
    """A line of the figure: a record's bar, a failure's reason, or the device that those below were measured on."""

    label: str
    about: Record | Failure | None = None


def draw(results: Results) -> Figure:
    """Medians of the stages, with the median total at the bar's end; failures by name."""
    if not results.records:
        raise NothingToDraw("nothing was measured: measure a bundle with python -m profiling run")
    rows = _rows(results)
    records = [row.about for row in rows if isinstance(row.about, Record)]
    longest, shortest = max(map(_sum, records)), min(map(_sum, records))
    notes = _notes(records)
    height = _TWO_LINES if any("\n" in row.label for row in rows) else _ROW
    below = 0.14 * sum(note.count("\n") + 1 for note in notes)
    figure = new_figure(style.PAGE, 0.9 + height * len(rows) + below)
    shares = longest > _FAR_APART * shortest
    axes: Sequence[Axes] = figure.subplots(
        1, 1 + shares, sharey=True, squeeze=False, width_ratios=[3, 1][: 1 + shares]
    )[0]
    axes[0].set_yticks([y for y, row in enumerate(rows) if row.about], [row.label for row in rows if row.about])
    axes[0].set_ylim(len(rows) - 0.5, -0.5)
    axes[0].set_xlim(0, longest * 1.2)
    axes[0].set_xlabel("milliseconds: median of each stage,\nand of the total at the bar's end")
    labels = max(len(line) for row in rows if row.about for line in row.label.split("\n"))
    for y, row in enumerate(rows):
        _draw_row(axes[0], y, row, longest, _LETTERS - labels - 22 * shares)
    if any(_decode(record) for record in records):
        axes[0].text(_BESIDE, 0, "picture*", transform=axes[0].get_yaxis_transform(), va="center", color=GREY)
    if shares:
        axes[1].set_xlim(0, 100)
        axes[1].set_xlabel("share of their\nsum, %")
        for y, row in enumerate(rows):
            if isinstance(row.about, Record):
                _stack(axes[1], y, row.about, 100 / _sum(row.about))
    for each in axes:
        each.tick_params(axis="y", length=0)
        each.grid(axis="x")
    by_label = dict(zip(*reversed(axes[0].get_legend_handles_labels()), strict=True))
    figure.legend(by_label.values(), by_label.keys(), loc="outside upper left", ncols=len(STAGES), columnspacing=1.5)
    if notes:
        figure.supxlabel("\n".join(notes), x=0.01, ha="left", fontsize=8, color=GREY)
    return figure


def _rows(results: Results) -> list[_Row]:
    entries: list[Record | Failure] = [*results.records, *results.failures]
    rows = []
    for device in dict.fromkeys(entry.subject.device for entry in entries):
        records = [record for record in results.records if record.subject.device == device]
        cpu = f" ({records[0].device['cpu']})" if records and records[0].device.get("cpu") else ""
        rows.append(_Row(plain(f"{device}{cpu}", 64)))
        called = names(records, say_threads=True, say_device=False)
        rows += [_Row(wrapped(name, _LABEL, 2), record) for name, record in zip(called, records, strict=True)]
        for failure in results.failures:
            subject = failure.subject
            if subject.device == device:
                label = f"{subject.model} {subject.artifact}, {threads(subject)}"
                rows.append(_Row(wrapped(label, _LABEL, 2), failure))
    return rows


def _draw_row(axes: Axes, y: int, row: _Row, longest: float, letters: int) -> None:
    from matplotlib.transforms import blended_transform_factory

    start = axes.get_yaxis_transform()
    if row.about is None:
        at = blended_transform_factory(axes.figure.transFigure, axes.transData)
        axes.text(0.008, y, row.label, transform=at, va="center", fontweight="bold", in_layout=False,
                  bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})  # fmt: skip
    elif isinstance(row.about, Failure):
        why = plain(f"not measured: {row.about.failure}", letters)
        axes.text(0.005, y, why, transform=start, va="center", color=GREY, style="italic", in_layout=False)
    else:
        end = _stack(axes, y, row.about, 1)
        doubtful = "†" if row.about.doubts else ""
        total = shown(row.about.stages["total"]["p50"])
        axes.text(end + 0.008 * longest, y, f"{total}{doubtful}", va="center")
        if decode := _decode(row.about):
            axes.text(_BESIDE, y, f"+{shown(decode)}", transform=start, va="center", color=GREY)


def _stack(axes: Axes, y: int, record: Record, scale: float) -> float:
    """Bars end to end; returns where the last one ends."""
    left = 0.0
    for stage in STAGES:
        colour, hatch, label = _LOOKS[stage]
        width = scale * record.stages[stage]["p50"]
        axes.barh(y, width, 0.68, left, color=colour, hatch=hatch, edgecolor="white", linewidth=0, label=label)
        left += width
    return left


def _sum(record: Record) -> float:
    return sum(record.stages[stage]["p50"] for stage in STAGES)


def _decode(record: Record) -> float | None:
    """Milliseconds to read a picture's file, where that was measured."""
    return record.stages["decode"]["p50"] if record.samples.get("decode") else None


def _notes(records: Sequence[Record]) -> list[str]:
    notes = []
    if any(_decode(record) for record in records):
        notes.append("* reading and cropping the picture's file, median in milliseconds: not part of the total")
    doubts = list(dict.fromkeys(doubt for record in records for doubt in record.doubts))
    more = [f"and {len(doubts) - _DOUBTS} more"] if len(doubts) > _DOUBTS else []
    if doubts:
        notes.append(wrapped(f"† doubtful: {'; '.join([*doubts[:_DOUBTS], *more])}", 115, 4))
    return notes
