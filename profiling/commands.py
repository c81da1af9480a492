"""The command line of the profiler."""

from __future__ import annotations

import argparse
import multiprocessing
import platform
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path

from profiling import compare as comparing
from profiling import records, reports
from profiling.measure import measure
from runtime import cli
from runtime.bundle import Bundle
from runtime.cli import Report, progress
from runtime.errors import SplitportError, UsageError
from runtime.files import write_atomically
from runtime.pictures import pictures_in


def main(argv: Sequence[str] | None = None, prog: str = "python -m profiling") -> int:
    """Run one command line; returns the exit code."""
    parser = cli.Parser(prog=prog, description="Measure encoders and print latency tables.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    run = commands.add_parser("run", help="measure bundles on this machine")
    run.add_argument("bundles", type=Path, nargs="+", metavar="BUNDLE")
    run.add_argument("--images", type=Path, required=True, help="a folder of pictures, or one picture")
    run.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="results, one JSON object a line")
    run.add_argument("--runs", type=int, default=100, help="counted encodes (default: 100)")
    run.add_argument("--threads", type=int, help="threads of the engine; by default its own choice")
    run.add_argument("--engine", help="inference engine; by default the one of the bundle's target")
    run.add_argument("--device-name", default=platform.node(), help="what the report calls this machine")
    run.set_defaults(command=_run)
    report = commands.add_parser("report", help="print a table from results")
    report.add_argument("results", type=Path, nargs="+")
    report.add_argument("--format", default="pcs", help=f"one of: {', '.join(reports.FORMATS)}")
    report.add_argument("--baseline", choices=("paper",), help="published rows beside ours, for --format pcs")
    report.add_argument("-o", "--output", type=Path, metavar="FILE")
    report.set_defaults(command=_report)
    compare = commands.add_parser("compare", help="is the second file faster than the first?")
    compare.add_argument("first", type=Path)
    compare.add_argument("second", type=Path)
    compare.set_defaults(command=_compare)
    for subparser in (run, report, compare):
        cli.common(subparser)
    return cli.run(parser, argv)


def _run(args: argparse.Namespace) -> Report:
    pictures = pictures_in(args.images)
    if args.runs < 1:
        raise UsageError(f"--runs must be at least 1, not {args.runs}")
    for bundle in args.bundles:  # before anything takes time
        Bundle.open(bundle)
    made = []
    for bundle in progress(args.bundles, "measuring"):
        # Each in a process of its own: engines that share one steal each other's threads.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            job = pool.submit(measure, bundle, pictures, args.runs, args.threads, args.engine, args.device_name)
            try:
                made.append(job.result())
            except BrokenProcessPool as why:
                raise SplitportError(
                    f"{bundle}: its engine ended the process; python -m runtime selftest {bundle} shows how"
                ) from why
    records.write(args.output, made)
    lines = [
        f"{r.model} {r.target} {r.precision}: {r.stages['total']['p50']:.2f} ms (network "
        f"{r.stages['network']['p50']:.2f}, code {r.stages['code']['p50']:.2f}), "
        f"{r.payload_bytes['mean']:.0f} payload bytes, {r.bpp:.3f} bpp"
        for r in made
    ]
    lines += [f"  {r.model} {r.target} {r.precision}: {doubt}" for r in made for doubt in r.doubts]
    return Report([*lines, f"{args.output}: {len(made)} record{'s' * (len(made) != 1)}"], {"records": len(made)})


def _compare(args: argparse.Namespace) -> Report:
    found, alone = comparing.compare(records.read(args.first), records.read(args.second))
    if not found:
        raise UsageError(f"{args.first} and {args.second} have no bundle in common: {'; '.join(alone)}")
    report = Report(data={"compared": [], "alone": alone})
    for each in found:
        report.lines.append(
            f"{each.name}: {each.first_ms:.3g} ms and {each.second_ms:.3g} ms, ratio {each.ratio:.3f} "
            f"({each.low:.3f} to {each.high:.3f}): {each.verdict}"
        )
        report.data["compared"].append({**asdict(each), "ratio": each.ratio, "verdict": each.verdict})
    report.lines += [f"{name}: in one of the files only" for name in alone]
    return report


def _report(args: argparse.Namespace) -> Report:
    text = reports.render(args.format, [r for path in args.results for r in records.read(path)], args.baseline)
    if args.output:
        write_atomically(args.output, (text + "\n").encode())
        return Report([str(args.output)], {"output": str(args.output)})
    return Report([text], {"report": text})
