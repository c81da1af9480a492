"""Accuracy against rate, with the published curves of the same models beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from profiling import published
from profiling.plots import NothingToDraw
from profiling.plots.style import COLUMN, DASHES, GREY, MARKERS, logarithmic, looks, new_figure, plain, wrapped
from profiling.records import Record, Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

TITLE = "Accuracy against rate"


def draw(results: Results) -> Figure:
    """Top-1 against bits per pixel; one line a model and artifact, on one data set."""
    records = [record for record in results.records if record.rate > 0 and (record.task or {}).get("top1") is not None]
    if not records:
        raise NothingToDraw(
            "no record has a top-1 accuracy: python -m encoders evaluate measures it over a labelled folder"
        )
    curves = {model: published.CURVES[model] for model in {r.model: 0 for r in records} if model in published.CURVES}
    data = _by_data(records)
    figure = new_figure(COLUMN, 1)
    axes = figure.subplots()
    entries: list[tuple[Line2D, str]] = []
    if curves:
        entries += _published(axes, curves, comparable=all(_as_published(record) for record in records))
    ours = []
    for (name, count, _), group in data.items():
        ours += [_heading(f"measured here, on {plain(name, 26)}\n({count} pictures)"), *_ours(axes, group, results)]
    entries = [*ours, *entries]
    figure.set_figheight(2.6 + 0.165 * sum(label.count("\n") + 1 for _, label in entries))
    rates = [record.rate for record in records] + [point.bpp for points in curves.values() for point in points]
    axes.set_xscale("log")
    axes.set_xlim(*logarithmic(axes.xaxis, min(rates), max(rates)))
    axes.set_xlabel("rate, bits per pixel")
    axes.set_ylabel("top-1 accuracy, %")
    axes.margins(y=0.08)
    axes.grid()
    _bytes_axis(axes, {record.picture_size for record in records} | ({published.SIDE} if curves else set()))
    legend = figure.legend(*zip(*entries, strict=True), loc="outside lower left", labelspacing=0.25)
    for (handle, _), text in zip(entries, legend.get_texts(), strict=True):
        text.set_fontweight("normal" if handle.axes else "bold")
    return figure


def _by_data(records: Sequence[Record]) -> dict[tuple[str, str, str], list[Record]]:
    """Accuracies are of one kind only on the same pictures."""
    found: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        task = record.task or {}
        count = f"{task['n']:,}" if task.get("n") else "?"
        key = (str(task.get("data", "unnamed data")), count, str(task.get("data_sha256")))
        found.setdefault(key, []).append(record)
    return found


def _as_published(record: Record) -> bool:
    """Nothing else that is classified has so many pictures."""
    task = record.task or {}
    return bool(task.get("n", 0) + task.get("broken", 0) == published.PICTURES)


def _ours(axes: Axes, records: Sequence[Record], results: Results) -> list[tuple[Line2D, str]]:
    series: dict[tuple[str, str], set[tuple[float, float]]] = {}
    for record in records:
        point = (record.rate, float((record.task or {})["top1"]))
        series.setdefault((record.model, record.subject.artifact), set()).add(point)
    entries = []
    for key, points in series.items():
        look = looks(results)[key]
        x, y = zip(*sorted(points), strict=True)
        label = wrapped(" ".join(key), 48, 2)
        (line,) = axes.plot(x, y, color=look.colour, marker=look.marker, linestyle=look.dashes, label=label, zorder=3)
        entries.append((line, label))
    return entries


def _published(
    axes: Axes, curves: dict[str, tuple[published.Point, ...]], *, comparable: bool
) -> list[tuple[Line2D, str]]:
    warning = "" if comparable else ":\nother pictures, not to be compared directly"
    entries = [_heading(f"published (PCS 2022), on {published.DATA}{warning}")]
    for index, (model, points) in enumerate(curves.items()):
        (line,) = axes.plot(
            [point.bpp for point in points], [point.top1 for point in points], label=f"published {model}", zorder=2,
            color=GREY, linewidth=0.7, linestyle=DASHES[index % len(DASHES)], alpha=0.8,
            marker=MARKERS[index % len(MARKERS)], markersize=3, markerfacecolor="white", markeredgewidth=0.6,
        )  # fmt: skip
        entries.append((line, model))
    return entries


def _heading(text: str) -> tuple[Line2D, str]:
    from matplotlib.lines import Line2D

    return Line2D([], [], linestyle="none"), text


def _bytes_axis(axes: Axes, sizes: set[int]) -> None:
    """The same rates in payload bytes, where all pictures are of one size."""
    if len(sizes) != 1:
        return
    (side,) = sizes
    scale = side**2 / 8

    def to_bytes(bpp: Any) -> Any:
        return bpp * scale

    def to_bpp(count: Any) -> Any:
        return count / scale

    above = axes.secondary_xaxis("top", functions=(to_bytes, to_bpp))
    low, high = axes.get_xlim()
    logarithmic(above.xaxis, to_bytes(low), to_bytes(high))
    above.set_xlabel(f"payload bytes a picture of {side}x{side}")
