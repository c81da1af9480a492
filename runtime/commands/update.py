"""``update LINK SOURCE``."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from runtime import selftest
from runtime.bundle import Bundle
from runtime.cli import Report
from runtime.commands import add_engine_arguments
from runtime.encoder import Encoder
from runtime.errors import BundleError, UsageError
from runtime.receiver import Receiver


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this command."""
    parser.add_argument("link", type=Path, metavar="LINK", help="symlink to the bundle in use; made where missing")
    parser.add_argument("source", nargs="?", metavar="SOURCE", help="bundle: directory, .tar, .tar.gz or http(s) URL")
    parser.add_argument("--sha256", help="what the archive's SHA-256 must be")
    parser.add_argument("--keep", type=int, default=2, help="versions to keep, the one in use included (default 2)")
    parser.add_argument("--rollback", action="store_true", help="go back to the version in use before")
    add_engine_arguments(parser)


def run(args: argparse.Namespace) -> Report:
    """Fetch, verify, prove on this machine, switch; or go back."""
    if args.rollback == bool(args.source):
        raise UsageError("give either SOURCE or --rollback")
    from runtime.update import roll_back, update  # urllib brings ssl, which most commands do without

    prove = partial(works_here, engine=args.engine, threads=args.threads, coder=args.coder)
    if args.rollback:
        done = roll_back(args.link, prove)
    else:
        done = update(args.link, args.source, prove, args.keep, args.sha256)
    same = done.before == done.version
    lines = [f"{args.link} is at {done.version}" + ("" if same else f", before {done.before or 'there was none'}")]
    if done.before and not same:
        lines.append("programs that run go on with the bundle they opened; start them anew")
    lines += [f"removed {name}" for name in done.removed]
    unsafe = not args.rollback and args.source.startswith("http:") and not args.sha256
    notes = ["http without --sha256: anybody on the way could have given another bundle"] if unsafe else []
    return Report(lines, {**vars(done), "changed": not same}, notes=notes)


def works_here(bundle: Path, engine: str | None, threads: int | None, coder: str | None) -> None:
    """Refuse a bundle whose self-test fails on this machine; a receiver's engine must at least take its graph."""
    if Bundle.open(bundle).manifest.side == "receiver":
        Receiver.open(bundle, engine=engine, threads=threads, coder=coder)
        return
    result = selftest.run(Encoder.open(bundle, engine=engine, threads=threads, coder=coder))
    if result.passed:
        return
    if not (result.decoded and result.encoded):
        raise BundleError("its self-test failed: the range coder gives other bytes here; nothing was changed")
    raise BundleError(
        f"its self-test failed: {100 * result.agreement:.3f} % of symbols as at export, {100 * result.required:g} % "
        "required; nothing was changed"
    )
