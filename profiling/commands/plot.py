"""``python -m profiling plot``."""

from __future__ import annotations

import argparse
from pathlib import Path

from profiling import plots, records
from runtime.cli import Report
from runtime.errors import UnknownName, UsageError

_KINDS = (".pdf", ".svg", ".png")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See :mod:`profiling.commands`."""
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="files are written into it")
    parser.add_argument(
        "--kind", nargs="+", metavar="NAME", help=f"some of: {', '.join(plots.PLOTS)} (default: all that can be drawn)"
    )


def run(args: argparse.Namespace) -> Report:
    """Each plot as PDF, SVG and PNG."""
    for name in args.kind or ():
        if name not in plots.PLOTS:
            raise UnknownName("plot", name, plots.PLOTS)
    results = records.latest(records.read(*args.results))
    report = Report(notes=list(results.notes))
    figures = {}
    for name in dict.fromkeys(args.kind or plots.PLOTS):
        try:
            figures[name] = plots.draw(name, results)
        except plots.NothingToDraw as why:
            if args.kind:
                raise
            report.notes.append(f"{name} not drawn: {why}")
    if not figures:
        raise UsageError(f"nothing can be drawn: {'; '.join(report.notes)}")
    for name, figure in figures.items():
        for kind in _KINDS:
            path = args.output / f"{name}{kind}"
            plots.write(figure, path)
            report.lines.append(str(path))
    report.data["written"] = list(report.lines)
    return report
