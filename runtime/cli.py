"""What all command lines share: one line for each error, exit codes, JSON, progress.

Exit codes: 0 done; 1 the work failed; 2 the request itself cannot be met.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

from runtime.errors import SplitportError, UsageError

T = TypeVar("T")


@dataclass
class Report:
    """What a command has to say: lines for people, data for ``--json``, failures that did not stop it, and notes on
    what a person should know that is no failure."""

    lines: list[str] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


Command = Callable[[argparse.Namespace], Report]


class Parser(argparse.ArgumentParser):
    """Reports bad usage in one line, as everything else does."""

    def error(self, message: str) -> NoReturn:
        """Exit with 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def dispatch(package: str, commands: Mapping[str, str], description: str, prog: str, argv: Sequence[str] | None) -> int:
    """Run a command of a package that has a module for each, with ``add_arguments`` and ``run`` in it."""
    parser = Parser(prog=prog, description=description)
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, summary in commands.items():
        module = importlib.import_module(f"{package}.{name}")
        subparser = subparsers.add_parser(name, help=summary, description=f"{name}: {summary}")
        common(subparser)
        module.add_arguments(subparser)
        subparser.set_defaults(command=module.run)
    return run(parser, argv)


def common(parser: argparse.ArgumentParser) -> None:
    """Add the options that every command has."""
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.add_argument("--debug", action="store_true", help="show tracebacks and what libraries print")


def run(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> int:
    """Parse, call ``args.command`` and turn what happens into output and an exit code."""
    args = parser.parse_args(argv)
    try:
        report: Report = args.command(args)
    except (SplitportError, OSError) as why:
        if args.debug:
            traceback.print_exc()
        else:
            print(f"{parser.prog}: {_one_line(why)}", file=sys.stderr)
        if args.json:
            _say(json.dumps({"ok": False, "error": type(why).__name__, "message": _one_line(why)}))
        return 2 if isinstance(why, UsageError) else 1
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted", file=sys.stderr)
        return 1
    for said in (*report.notes, *report.failures):
        print(f"{parser.prog}: {' '.join(said.split())}", file=sys.stderr)
    if args.json:
        more = {name: said for name, said in (("notes", report.notes), ("failures", report.failures)) if said}
        _say(json.dumps({"ok": not report.failures, **report.data, **more}))
    elif report.lines:
        _say("\n".join(report.lines))
    return 1 if report.failures else 0


def _say(text: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    try:
        # A file's name may hold what the terminal's encoding does not.
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except BrokenPipeError:  # `| head` has seen enough; the interpreter must not try to flush again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _one_line(why: BaseException) -> str:
    if isinstance(why, OSError) and why.strerror:
        return ": ".join(str(part) for part in (why.filename, why.strerror) if part is not None)
    return " ".join(str(why).split()) or type(why).__name__


def progress(items: Iterable[T], what: str) -> Iterator[T]:
    """Pass items through; where stderr is a terminal and there is more than one, draw a bar."""
    total = len(items) if isinstance(items, Sized) else 0
    if total < 2 or not sys.stderr.isatty():
        yield from items
        return
    for done, item in enumerate(items):
        _bar(done, total, what)
        yield item
    _bar(total, total, what)
    sys.stderr.write("\n")


@contextmanager
def bar() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for work that tells itself what it does and how far it is; nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    try:
        yield lambda what, done, total: _bar(done, total, what)
    finally:
        sys.stderr.write("\r\x1b[K")


def _bar(done: int, total: int, what: str) -> None:
    width = 30
    filled = width * done // total
    sys.stderr.write(f"\r\x1b[K{what} [{'=' * filled}{' ' * (width - filled)}] {done}/{total}")
    sys.stderr.flush()
