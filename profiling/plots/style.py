"""How all plots look, and what they call things."""

from __future__ import annotations

import contextlib
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from profiling.records import Record, Results, Subject
from runtime.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

#: Inches: a column of a two-column paper, and both.
COLUMN, PAGE = 3.4, 7.0

#: Okabe and Ito's colours, which colour-blind readers tell apart, without the yellow that white paper swallows.
BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9"
GREY, PALE = "#666666", "#BBBBBB"
COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, "#000000")
#: One more than colours: a pair of both comes back only after all pairs.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
DASHES: tuple[Any, ...] = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)))

_STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same widths on every machine
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.formatter.use_mathtext": False,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "hatch.linewidth": 0.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.5,
    "figure.dpi": 200,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "text.parse_math": False,  # a device may have dollars in its name
}


@contextlib.contextmanager
def styled(name: str) -> Iterator[None]:
    """While it lasts, matplotlib draws as these plots want it, whatever its user has configured."""
    try:
        import matplotlib.style
    except ImportError as why:
        raise UsageError("plotting needs matplotlib: pip install 'splitport[report]'") from why
    with matplotlib.style.context({**_STYLE, "svg.hashsalt": name}, after_reset=True), warnings.catch_warnings():
        # A name in letters that the font lacks is drawn with boxes, and is whole in the SVG.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches, which finds room for its own labels."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


@dataclass(frozen=True)
class Look:
    """Of one series: tells it from the others in colour, and in grey by shape."""

    colour: str
    marker: str
    dashes: Any


def looks(results: Results) -> dict[tuple[str, str], Look]:
    """Model and artifact -> its look, the same in every plot of these results."""
    series = dict.fromkeys((record.model, record.subject.artifact) for record in results.records)
    return {
        each: Look(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)], DASHES[i % len(DASHES)])
        for i, each in enumerate(series)
    }


def plain(text: str, longest: int = 60) -> str:
    """One line without control characters, cut where it is longer."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def wrapped(text: str, width: int, lines: int) -> str:
    """The same over several lines, as far as they reach."""
    whole = plain(text, 10_000).replace(" thread", "\0thread")  # a number alone at the end of a line says nothing
    return "\n".join(textwrap.wrap(whole, width, max_lines=lines, placeholder=" …")).replace("\0", " ")


def threads(subject: Subject) -> str:
    """In words."""
    if subject.threads is None:
        return "engine's threads"
    return f"{subject.threads} thread{'s' * (subject.threads != 1)}"


def names(records: Sequence[Record], *, say_threads: bool = False, say_device: bool = True) -> list[str]:
    """A name for each record: model and artifact, and what else tells it from the others."""
    parts: list[Callable[[Record], str]] = [lambda r: r.weights_name, lambda r: r.bundle_sha256[:8], lambda r: r.date]
    if say_device:
        parts.insert(0, lambda r: f"on {r.device['name']}")
    found = [f"{r.model} {r.subject.artifact}" for r in records]
    if say_threads:
        found = [f"{name}, {threads(r.subject)}" for name, r in zip(found, records, strict=True)]
    else:
        parts.insert(0, lambda r: threads(r.subject))
    for part in parts:
        said: dict[str, set[str]] = {}
        for name, record in zip(found, records, strict=True):
            said.setdefault(name, set()).add(part(record))
        found = [f"{n}, {part(r)}" if len(said[n]) > 1 else n for n, r in zip(found, records, strict=True)]
    return found


def shown(value: float) -> str:
    """Three digits, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")


def logarithmic(axis: Axis, low: float, high: float) -> tuple[float, float]:
    """Ticks in plain numbers for an axis that is to show these; returns limits with room for at least two."""
    from matplotlib import ticker

    room = max(1.3, (5 * low / high) ** 0.5)
    axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if high / low < 500 else (1,)))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_locator(ticker.NullLocator())
    return low / room, high * room
