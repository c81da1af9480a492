"""``python -m profiling fleet``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from profiling.fleet import cargo, hosts, table
from profiling.fleet.run import Job, Ledger, fleet
from runtime.cli import Report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See :mod:`profiling.commands`."""
    parser.add_argument("hosts", type=Path, metavar="HOSTS.TOML", help="a table [hosts.NAME] for each host")
    parser.add_argument("bundles", type=Path, nargs="+", metavar="BUNDLE")
    parser.add_argument("--images", type=Path, required=True, help="a folder of pictures, or one picture")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE",
        help="results are added to it, one JSON object a line; what it holds already is not measured again",
    )  # fmt: skip
    parser.add_argument("--runs", type=int, default=100, help="counted encodes of each (default: 100)")
    parser.add_argument("--only", nargs="+", metavar="HOST", help="these hosts of the file; by default all")


def run(args: argparse.Namespace) -> Report:
    """A row for each bundle on each host."""
    chosen = hosts.read(args.hosts, args.only)
    job = Job(cargo.bundles(args.bundles), cargo.pictures(args.images, args.runs), args.runs)
    ledger = Ledger(args.output)
    with table.watch([host.name for host in chosen], live=sys.stderr.isatty() and not args.json) as tell:
        outcomes = fleet(chosen, job, ledger, tell)
    report = Report(table.lines(outcomes, job.titles), notes=ledger.held.notes)
    report.data = {"output": str(args.output), "hosts": {each.host.name: each.told() for each in outcomes}}
    for each in outcomes:
        report.notes += each.notes
        if each.failures:
            count = f"{len(each.failures)} of {len(job.bundles)}"
            report.failures.append(f"{each.host.name}: {count} bundles could not be measured")
    return report
