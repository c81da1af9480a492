"""The command line of calibration data."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from calibration.bundles import FITTED, refit_bundle
from calibration.choice import Selection, choose
from calibration.refit import CODECS
from calibration.sources import SOURCES, Keys
from runtime import cli
from runtime.cli import Report


def main(argv: Sequence[str] | None = None, prog: str = "python -m calibration") -> int:
    """Run one command line; returns the exit code."""
    parser = cli.Parser(prog=prog, description="Calibration data, and tables fitted to it.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    inspect = commands.add_parser("inspect", help="what would be chosen from this data, and what cannot be read")
    inspect.add_argument("data", metavar="DATA", help="; ".join(source.looks for source in SOURCES))
    inspect.add_argument("--size", type=int, default=224, help="side of the pictures (default: 224)")
    add_selection_arguments(inspect)
    inspect.set_defaults(command=_inspect)
    refit = commands.add_parser("refit", help="fit a bundle's tables to the symbols it really puts out")
    refit.add_argument("bundle", type=Path, help="of an encoder")
    refit.add_argument("data", metavar="DATA", help="pictures like those it will see; as for inspect")
    refit.add_argument("-o", "--output", type=Path, required=True, metavar="BUNDLE", help="the bundle to write")
    add_selection_arguments(refit, count=FITTED)
    refit.add_argument("--codec", choices=tuple(CODECS), default="context", help="way to code (default: context)")
    refit.set_defaults(command=_refit)
    for subparser in (inspect, refit):
        cli.common(subparser)
    return cli.run(parser, argv)


def add_selection_arguments(parser: argparse.ArgumentParser, prefix: str = "", count: int = 64) -> None:
    """Options of every command that chooses pictures."""
    parser.add_argument(
        f"--{prefix}count", dest="count", type=int, default=count, metavar="N",
        help=f"pictures to choose (default: {count})",
    )  # fmt: skip
    parser.add_argument(
        f"--{prefix}seed", dest="seed", type=int, default=0, metavar="N", help="decides which (default: 0)"
    )
    parser.add_argument("--image-key", metavar="KEY", help="what shards or archives call pictures, jpg for example")
    parser.add_argument("--label-key", metavar="KEY", help="what they call classes, cls for example")


def selection(data: str, args: argparse.Namespace) -> Selection:
    """From the options of :func:`add_selection_arguments`."""
    return Selection(data, args.count, args.seed, Keys(args.image_key, args.label_key))


def _refit(args: argparse.Namespace) -> Report:
    done = refit_bundle(args.bundle, selection(args.data, args), args.output, args.codec)
    saved = 100 * (1 - done.bytes_after / done.bytes_before)
    lines = [
        f"{args.output}: {done.codec} tables fitted to {done.fitted} pictures; table id {done.table_id}",
        f"{done.bytes_before:.1f} payload bytes a picture before, {done.bytes_after:.1f} after ({saved:.1f} % saved), "
        f"on {done.checked} others",
        f"receivers need it: --tables {args.output}",
        *(f"left out: {reason}" for reason in done.skipped),
    ]
    return Report(lines, {"bundle": str(args.output), **asdict(done)})


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
