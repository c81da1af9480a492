"""``predict RECEIVER_BUNDLE PAYLOAD...``."""

from __future__ import annotations

import argparse
from pathlib import Path

from runtime.cli import Report, progress
from runtime.commands import add_engine_arguments
from runtime.errors import PayloadError, UsageError
from runtime.receiver import Receiver


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this command."""
    parser.add_argument("bundle", type=Path, metavar="RECEIVER_BUNDLE")
    parser.add_argument("payloads", type=Path, nargs="+", metavar="PAYLOAD")
    parser.add_argument("--tables", type=Path, nargs="+", default=[], metavar="BUNDLE", help="senders' bundles")
    parser.add_argument("--top", type=int, default=5, help="how many classes to print (default: 5)")
    add_engine_arguments(parser)


def run(args: argparse.Namespace) -> Report:
    """Predict from each payload."""
    if args.top < 1:
        raise UsageError(f"--top must be at least 1, not {args.top}")
    receiver = Receiver.open(
        args.bundle, tables=args.tables, engine=args.engine, threads=args.threads, coder=args.coder
    )
    report = Report(data={"predictions": [], "weights": receiver.bundle.manifest.weights})
    if receiver.bundle.manifest.checkpoint_sha256 is None:
        report.lines.append(f"weights: {receiver.bundle.manifest.weights}")
    for source in progress(args.payloads, "predicting"):
        try:
            ranked = receiver.predict(source.read_bytes()).ranked[: args.top]
        except (PayloadError, OSError) as why:
            report.failures.append(f"{source}: {getattr(why, 'strerror', None) or why}")
            continue
        report.lines.append(str(source))
        report.lines += [f"  {100 * probability:6.2f} %  {name}" for name, probability in ranked]
        report.data["predictions"].append({"payload": str(source), "ranked": ranked})
    return report
