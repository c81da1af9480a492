"""``python -m profiling report``."""

from __future__ import annotations

import argparse
from pathlib import Path

from profiling import records, reports
from runtime.cli import Report
from runtime.files import write_atomically


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See :mod:`profiling.commands`."""
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--format", default="pcs", help=f"one of: {', '.join(reports.FORMATS)}")
    parser.add_argument("--baseline", choices=("paper",), help="published rows beside ours, for --format pcs")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE")


def run(args: argparse.Namespace) -> Report:
    """A text, printed or written."""
    results = records.latest(records.read(*args.results))
    text = reports.render(args.format, results, args.baseline)
    if args.output:
        write_atomically(args.output, (text + "\n").encode(errors="backslashreplace"))
        return Report([str(args.output)], {"output": str(args.output)}, notes=results.notes)
    return Report([text], {"report": text}, notes=results.notes)
