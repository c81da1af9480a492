"""``python -m profiling baseline``."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from profiling.commands import add_measuring_arguments
from profiling.commands.run import measured, want
from runtime.cli import Report
from runtime.errors import UsageError

#: Looked up by name: it needs PyTorch, which the profiler does without.
_ORIGINAL = "encoders.original"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See :mod:`profiling.commands`."""
    parser.add_argument("--model", required=True, help="model name; python -m export --list shows them")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="its weights; by default those that ship")
    parser.add_argument("--weights", help="weights that ship, by name")
    parser.add_argument(
        "--beside", type=Path, nargs="+", default=[], metavar="BUNDLE", help="bundles to measure by turns with it"
    )
    add_measuring_arguments(parser)


def run(args: argparse.Namespace) -> Report:
    """Add a line for the original path, and one for each bundle beside it."""
    try:
        original = importlib.import_module(_ORIGINAL)
    except ImportError as why:
        raise UsageError(
            f"the original path needs PyTorch and CompressAI: pip install 'splitport[export]' ({why})"
        ) from why
    first = original.want(args.model, args.threads, args.device_name, args.checkpoint, args.weights)
    rest = [want(bundle, args.threads, None, args.device_name) for bundle in args.beside]
    return measured([first, *rest], args)
