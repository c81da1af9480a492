"""``selftest BUNDLE``."""

from __future__ import annotations

import argparse
from pathlib import Path

from runtime import selftest
from runtime.bundle import Bundle
from runtime.cli import Report
from runtime.commands import add_engine_arguments
from runtime.encoder import Encoder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this command."""
    parser.add_argument("bundle", type=Path)
    add_engine_arguments(parser)


def run(args: argparse.Namespace) -> Report:
    """Verify the bundle's files and hold this machine against what the exporter saw."""
    if Bundle.open(args.bundle).manifest.side == "receiver":
        return Report(["files: intact (a receiver bundle has no further self-test)"], {"intact": True})
    encoder = Encoder.open(args.bundle, engine=args.engine, threads=args.threads, coder=args.coder)
    result = selftest.run(encoder)
    said = {True: "yes", False: "NO"}
    lines = [
        "files: intact",
        f"range coder ({encoder.coder}): decodes the stored payload: {said[result.decoded]}, "
        f"encodes to the same bytes: {said[result.encoded]}",
        f"network: {100 * result.agreement:.3f} % of symbols as at export ({100 * result.required:g} % required)",
        f"self-test {'passed' if result.passed else 'FAILED'}",
    ]
    failures = [] if result.passed else [f"{args.bundle} does not work on this machine as it did at export"]
    return Report(lines, {**vars(result), "passed": result.passed, "coder": encoder.coder}, failures)
