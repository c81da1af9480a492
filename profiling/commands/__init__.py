"""The profiler's commands, one file each."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Sequence
from pathlib import Path

from runtime import cli

COMMANDS = {
    "run": "measure bundles on this machine",
    "baseline": "measure the original's own path: PyTorch and CompressAI (needs splitport's export extra)",
    "fleet": "measure bundles on other machines over SSH",
    "report": "print a table from results, or write a page of them",
    "plot": "draw results: PDF, SVG and PNG",
    "compare": "is the second file faster than the first?",
}


def main(argv: Sequence[str] | None = None, prog: str = "python -m profiling") -> int:
    """Run one command line; returns the exit code."""
    return cli.dispatch(__name__, COMMANDS, "Measure encoders, print latency tables, draw plots.", prog, argv)


def add_measuring_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of every command that measures on this machine."""
    parser.add_argument("--images", type=Path, required=True, help="a folder of pictures, or one picture")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="results are added to it, one JSON object a line",
    )
    parser.add_argument("--runs", type=int, default=100, help="counted encodes of each (default: 100)")
    parser.add_argument("--threads", type=int, help="threads of the engine; by default its own choice")
    parser.add_argument("--device-name", default=platform.node(), help="what the report calls this machine")
