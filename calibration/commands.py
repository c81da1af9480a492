"""The command line of calibration data."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence

from calibration.choice import Selection, choose
from calibration.sources import SOURCES, Keys
from runtime import cli
from runtime.cli import Report


def main(argv: Sequence[str] | None = None, prog: str = "python -m calibration") -> int:
    """Run one command line; returns the exit code."""
    parser = cli.Parser(prog=prog, description="Look at calibration data.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    inspect = commands.add_parser("inspect", help="what would be chosen from this data, and what cannot be read")
    inspect.add_argument("data", metavar="DATA", help="; ".join(source.looks for source in SOURCES))
    inspect.add_argument("--size", type=int, default=224, help="side of the pictures (default: 224)")
    add_selection_arguments(inspect)
    inspect.set_defaults(command=_inspect)
    cli.common(inspect)
    return cli.run(parser, argv)


def add_selection_arguments(parser: argparse.ArgumentParser, prefix: str = "") -> None:
    """Options of every command that chooses pictures."""
    count, seed = f"--{prefix}count", f"--{prefix}seed"
    parser.add_argument(count, dest="count", type=int, default=64, metavar="N", help="pictures to choose (default: 64)")
    parser.add_argument(seed, dest="seed", type=int, default=0, metavar="N", help="decides which (default: 0)")
    parser.add_argument("--image-key", metavar="KEY", help="what shards or archives call pictures, jpg for example")
    parser.add_argument("--label-key", metavar="KEY", help="what they call classes, cls for example")


def selection(data: str, args: argparse.Namespace) -> Selection:
    """From the options of :func:`add_selection_arguments`."""
    return Selection(data, args.count, args.seed, Keys(args.image_key, args.label_key))


def _inspect(args: argparse.Namespace) -> Report:
    chosen = choose(selection(args.data, args), args.size)
    labels = Counter(str(label) for label in chosen.labels if label is not None)
    classes = f"{len(labels)} classes, for example {', '.join(sorted(labels)[:4])}" if labels else "no classes told"
    lines = [
        f"{len(chosen.pixels)} pictures of {args.data} ({chosen.kind}), seed {chosen.seed}; {classes}",
        f"for example {', '.join(chosen.names[:3])}",
        f"digest {chosen.sha256}",
        *(f"left out: {reason}" for reason in chosen.skipped),
    ]
    data = {**chosen.provenance(), "names": chosen.names, "classes": dict(labels), "left_out": list(chosen.skipped)}
    return Report(lines, data)
