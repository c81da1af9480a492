"""``python -m profiling run``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from profiling import records, turns
from profiling.commands import add_measuring_arguments
from profiling.records import Entry, Record
from profiling.subjects import BundleEncoding, told
from profiling.turns import Plan, Wanted, bundle_subject
from runtime import engines
from runtime.bundle import Bundle
from runtime.cli import Report, bar
from runtime.errors import BundleError
from runtime.pictures import pictures_in


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See :mod:`profiling.commands`."""
    parser.add_argument("bundles", type=Path, nargs="+", metavar="BUNDLE")
    add_measuring_arguments(parser)
    parser.add_argument("--engine", help="inference engine; by default the one of the bundle's target")


def run(args: argparse.Namespace) -> Report:
    """Add a line for each bundle to the output: what was measured, or why it could not be."""
    wanted = [want(bundle, args.threads, args.engine, args.device_name) for bundle in args.bundles]
    return measured(wanted, args)


def want(bundle: Path, threads: int | None, engine: str | None, device_name: str) -> Wanted:
    """A bundle to measure; verified here, before anything takes time."""
    if engine:
        engines.spec(engine)
    manifest = Bundle.open(bundle).manifest
    if manifest.side != "encoder":
        raise BundleError(f"{bundle} is a {manifest.side} bundle; encoders are measured")
    subject = bundle_subject(told(bundle, manifest), threads, device_name)
    return Wanted(subject, partial(BundleEncoding, bundle, threads, engine))


def measured(wanted: Sequence[Wanted], args: argparse.Namespace) -> Report:
    """Measure, keep and tell."""
    plan = Plan(pictures_in(args.images), args.runs, args.device_name)
    records.check_output(args.output)
    with bar() as tell:
        entries, finished = turns.measure(wanted, plan, tell)
    if entries:
        records.append(args.output, *entries)
    report = Report([line for entry in entries for line in _lines(entry)], {"records": _count(entries, Record)})
    failures = [entry for entry in entries if not isinstance(entry, Record)]
    report.failures = [f"{each.subject.title} was not measured: {each.failure}" for each in failures]
    if not finished:
        report.failures.append("interrupted: what had been counted is kept" if entries else "interrupted")
    count = _count(entries, Record)
    report.lines.append(f"{count} record{'s' * (count != 1)} added to {args.output}")
    return report


def _lines(entry: Entry) -> list[str]:
    if not isinstance(entry, Record):
        return []
    name, p50 = f"{entry.model} {entry.subject.artifact}", {stage: each["p50"] for stage, each in entry.stages.items()}
    return [
        f"{name}: {p50['total']:.2f} ms (network {p50['network']:.2f}, code {p50['code']:.2f}), "
        f"{entry.payload_bytes['mean']:.0f} payload bytes, {entry.bpp:.3f} bpp",
        *(f"  {name}: {doubt}" for doubt in entry.doubts),
    ]


def _count(entries: Sequence[Entry], kind: type) -> int:
    return sum(isinstance(entry, kind) for entry in entries)
