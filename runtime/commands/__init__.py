"""The runtime's commands, one file each."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from runtime import cli

COMMANDS = {
    "encode": "pictures to payloads",
    "decode": "payloads to symbols or latents",
    "predict": "payloads to class names",
    "stream": "frames from a camera, a folder, a video or MJPEG in, payloads out, for hours",
    "update": "put another bundle in place of the one in use, if it works here",
    "selftest": "does this bundle work on this machine?",
    "inspect": "what is in this bundle or payload?",
    "doctor": "what is installed here, what is missing, what would be slow",
}


def main(argv: Sequence[str] | None = None, prog: str = "python -m runtime") -> int:
    """Run one command line; returns the exit code."""
    return cli.dispatch(__name__, COMMANDS, "Picture in, payload out, and back.", prog, argv)


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of every command that runs a graph."""
    parser.add_argument("--engine", help="inference engine; by default the one of the bundle's target")
    parser.add_argument("--threads", type=int, help="threads of the engine; by default its own choice")
    add_coder_argument(parser)


def add_coder_argument(parser: argparse.ArgumentParser) -> None:
    """Option of every command that codes."""
    parser.add_argument("--coder", help="range coder: native, constriction or reference; all give the same bytes")
