"""``doctor``: what is installed here, what is missing, what would be slow."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from typing import Any

from runtime import coder
from runtime.cli import Report
from runtime.engines import ENGINES, EngineSpec

_SPEED = {
    "native": "fastest",
    "constriction": "about ten times slower than native, still under a millisecond or two",
    "reference": "pure Python: tens of milliseconds a picture",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """This command has no options of its own."""


def run(args: argparse.Namespace) -> Report:
    """Look around without loading any engine."""
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    coders = coder.available()
    engines: dict[str, Any] = {e.name: {"version": e.version, "install": e.install, "note": e.note}
                               for e in ENGINES.values()}  # fmt: skip
    lines = [f"Python   {platform.python_version()} on {machine}", "coders"]
    lines += [f"  {'yes' if name in coders else 'no ':3}  {name:13} {_SPEED[name]}" for name in coder.CODERS]
    if coders[0] != "native":
        lines.append("       native is missing: reinstall where there is a C compiler")
    lines.append("engines")
    lines += [_engine_line(engine) for engine in ENGINES.values()]
    if not any(e.version for e in ENGINES.values()):
        lines.append("       no engine: decoding works, encoding and predicting need one")
    data = {"python": sys.version.split()[0], "machine": machine, "coders": coders, "engines": engines}
    return Report(lines, data)


def _engine_line(engine: EngineSpec) -> str:
    note = f"; {engine.note}" if engine.note else ""
    if engine.version:
        return f"  yes  {engine.name:13} {engine.version} (runs {', '.join(engine.targets)}{note})"
    return f"  no   {engine.name:13} {engine.install} (runs {', '.join(engine.targets)}{note})"
