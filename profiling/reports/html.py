"""One page that a person opens: figures, plots and tables, with everything in it, and nothing fetched from anywhere.

Records may come from other machines, so what they say is text wherever it stands: the template escapes it, and the page
forbids itself every script but its own and every connection.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from importlib import resources
from typing import Any

from profiling import plots
from profiling.records import Failure, Record, Results
from profiling.reports import columns
from profiling.reports.columns import Column, Value
from runtime.errors import UsageError

#: What a device says of itself, and how the page calls it.
_FACTS = {"cpu": "CPU", "cores": "cores", "governor": "governor", "ram_mb": "RAM", "os": "system", "python": "Python"}


@dataclass(frozen=True)
class Cell:
    """What is shown, what it is sorted by, and whether it is a number."""

    text: str
    value: Value
    numeric: bool


@dataclass(frozen=True)
class Heading:
    """Its whole name, what is shown of that, and whether numbers stand below it."""

    name: str
    shown: str
    numeric: bool


@dataclass(frozen=True)
class Row:
    """A record's cells, or what is known of a failure and why there is no more."""

    anchor: str
    cells: list[Cell]
    doubtful: bool = False
    failure: str = ""


@dataclass(frozen=True)
class Table:
    """Rows below headings; ``groups`` stand above the headings, each over so many columns."""

    name: str
    caption: str
    headings: list[Heading]
    rows: list[Row]
    groups: list[tuple[str, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Card:
    """The best that any record reached."""

    label: str
    value: str
    unit: str
    title: str
    anchor: str
    detail: str
    doubtful: bool


def render(results: Results) -> str:
    """The page."""
    try:
        import jinja2
        from markupsafe import Markup
    except ImportError as why:
        raise UsageError("a page needs jinja2: pip install 'splitport[report]'") from why
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    script = _text("page.js")
    page = environment.from_string(_text("page.html")).render(
        style=Markup(_text("page.css")),
        script=Markup(script),
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        data=Markup(_data(results)),
        plots=[(name, title, f"{inches:g}", Markup(svg)) for name, title, inches, svg in _plots(results)],
        **_context(results),
    )
    return page.encode(errors="replace").decode()  # JSON can tell half a character, UTF-8 cannot


def _context(results: Results) -> dict[str, Any]:
    records = results.records
    entries: list[Record | Failure] = [*records, *results.failures]
    commits = [f"{r.version} ({r.commit})" if r.commit else r.version for r in records]
    return {
        "models": _named(entry.subject.model for entry in entries),
        "devices": _named(entry.subject.device for entry in entries),
        "counts": (len(records), len(results.failures)),
        "dates": sorted({entry.date[:10] for entry in entries}),
        "versions": _named(commits),
        "machines": _machines(records),
        "cards": _cards(records),
        "tables": [_comparison(results), *([_stages(results)] if records else [])],
        "details": [_detail(number, record) for number, record in enumerate(records, 1)],
        "setups": columns.setups(results),
        "doubts": columns.doubts(results),
        "failures": columns.failures(results),
        "notes": results.notes,
    }


def _comparison(results: Results) -> Table:
    shown = columns.known(results, columns.summary(results))
    numeric = [columns.numeric(column, results) for column in shown]
    rows = [
        Row(_anchor(number), _cells(record, shown, numeric), bool(record.doubts))
        for number, record in enumerate(results.records, 1)
    ]
    named = [column for column in shown if column.name in ("model", "bundle", "device", "threads")]
    for failure in results.failures:
        told = columns.failed(failure)
        cells = [Cell(str(told[c.name] or c.unknown), told[c.name], c.name == "threads") for c in named]
        rows.append(Row("", cells, failure=failure.failure))
    caption = "What each bundle costs: times are medians, bytes are means over the pictures"
    headings = [Heading(column.name, column.name, number) for column, number in zip(shown, numeric, strict=True)]
    return Table("comparison", caption, headings, rows)


def _stages(results: Results) -> Table:
    title = Column("bundle", lambda record: record.subject.title)
    after = (columns.LOAD, columns.FIRST_RUN, columns.PEAK_RSS)
    stages = {name: each[:3] for name, each in columns.TIMES.items() if columns.known(results, each[:3])}
    shown = [title, *(column for each in stages.values() for column in each), *after]
    numeric = [column is not title for column in shown]
    rows = [
        Row(_anchor(number), _cells(record, shown, numeric), bool(record.doubts))
        for number, record in enumerate(results.records, 1)
    ]
    headings = [
        Heading(title.name, title.name, False),
        *(Heading(column.name, column.name.split()[1], True) for each in stages.values() for column in each),
        *(Heading(column.name, column.name, True) for column in after),
    ]
    groups = [("", 1), *((stage, len(each)) for stage, each in stages.items()), ("", len(after))]
    caption = (
        "Where the time goes, in milliseconds: half of all encodes take no longer than p50, 99 of 100 no longer than "
        "p99. Reading the picture's file (decode) is not part of the total"
    )
    return Table("stages", caption, headings, rows, groups)


def _cells(record: Record, shown: Sequence[Column], numeric: Sequence[bool]) -> list[Cell]:
    return [Cell(c.shown(record), c.value(record), number) for c, number in zip(shown, numeric, strict=True)]


def _cards(records: Sequence[Record]) -> list[Card]:
    """The least of each cost, and the best accuracy, where they are known."""
    cards = []
    for label, name, unit, detail, sign in _BEST:
        column = next(column for column in columns.ALL if column.name == name)
        values = [column.value(record) for record in records]
        known = [float(value) for value in values if isinstance(value, int | float)]
        if not known:
            continue
        best = min(known, key=lambda value: sign * value)
        number = values.index(best)
        record, others = records[number], known.count(best) - 1
        title = record.subject.title + (f", and {others} more" if others else "")
        doubtful = bool(record.doubts)
        cards.append(Card(label, column.shown(record), unit, title, _anchor(number + 1), detail(record), doubtful))
    return cards


def _of_pictures(record: Record) -> str:
    return f"mean of {record.pictures} picture{'s' * (record.pictures != 1)}"


def _of_labelled(record: Record) -> str:
    task = record.task or {}
    return f"top-1 of {task.get('n')} pictures" + (f", {task['data']}" if task.get("data") else "")


def _of_source(record: Record) -> str:
    return f"an encode, told by {(record.energy or {}).get('source')}"


#: Label, column, unit, what else is told, and 1 where less is better.
_BEST: tuple[tuple[str, str, str, Callable[[Record], str], int], ...] = (
    ("Fastest encode", "total p50 ms", "ms", lambda r: f"median of {r.runs}, entropy coding included", 1),
    ("Smallest payload", "payload mean B", "bytes", _of_pictures, 1),
    ("Best accuracy", "top-1 %", "%", _of_labelled, -1),
    ("Smallest encoder", "encoder bits", "bits", lambda r: f"{r.encoder_parameters:,} parameters", 1),
    ("Least energy", "energy joules", "J", _of_source, 1),
)


def _machines(records: Sequence[Record]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Each device once for each thing it ever said of itself."""
    found: dict[tuple[str, ...], tuple[str, list[tuple[str, str]]]] = {}
    for record in records:
        facts = {label: record.device.get(name) for name, label in _FACTS.items()}
        if isinstance(facts["RAM"], int):
            facts["RAM"] = f"{facts['RAM'] / 1024:.1f} GiB"
        told = [(label, str(value)) for label, value in facts.items() if value is not None]
        found.setdefault((record.subject.device, *map(str, told)), (record.subject.device, told))
    return list(found.values())


def _detail(number: int, record: Record) -> dict[str, Any]:
    groups = [(name, [(c.name, c.shown(record)) for c in each]) for name, each in columns.GROUPS.items()]
    return {
        "anchor": _anchor(number),
        "title": record.subject.title,
        "weights": record.weights,
        "doubtful": bool(record.doubts),
        "groups": groups,
    }


def _plots(results: Results) -> list[tuple[str, str, float, str]]:
    """Name, title, width and picture of each; the narrow ones first, since they find room beside each other."""
    drawn = plots.drawable(results) if results.records else []
    made = [(name, title, float(figure.get_size_inches()[0]), plots.svg(figure)) for name, title, figure in drawn]
    return sorted(made, key=lambda each: each[2])


def _data(results: Results) -> str:
    """The records and failures as a JSON list, one a line, in characters that cannot end the element around it."""
    entries: list[Record | Failure] = [*results.records, *results.failures]
    lines = [json.dumps(asdict(entry)) for entry in entries]
    return "[\n" + ",\n".join(lines).replace("<", "\\u003c") + "\n]"


def _anchor(number: int) -> str:
    return f"record-{number}"


def _named(values: Iterable[str]) -> str:
    """Each once, and of many only how many more."""
    each = list(dict.fromkeys(values))
    return ", ".join(each[:4]) + (f" and {len(each) - 4} more" if len(each) > 4 else "")


def _text(name: str) -> str:
    return resources.files("profiling.reports").joinpath(name).read_text(encoding="utf-8")
