"""``python -m profiling compare``."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from profiling import compare, records
from runtime.cli import Report
from runtime.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See :mod:`profiling.commands`."""
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)


def run(args: argparse.Namespace) -> Report:
    """A line for each bundle that both files measured."""
    first, second = (records.read(path) for path in (args.first, args.second))
    found, alone = compare.compare(first.records, second.records)
    if not found:
        raise UsageError(f"{args.first} and {args.second} have no bundle in common: {'; '.join(alone)}")
    report = Report(data={"compared": [], "alone": alone}, notes=[*first.notes, *second.notes])
    for each in found:
        report.lines.append(
            f"{each.name}: {each.first_ms:.3g} ms and {each.second_ms:.3g} ms, ratio {each.ratio:.3f} "
            f"({each.low:.3f} to {each.high:.3f}): {each.verdict}"
        )
        report.data["compared"].append({**asdict(each), "ratio": each.ratio, "verdict": each.verdict})
    report.lines += [f"{name}: in one of the files only" for name in alone]
    return report
