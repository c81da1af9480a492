"""``encode BUNDLE PICTURE... -o DIR``."""

from __future__ import annotations

import argparse
from pathlib import Path

from runtime.cli import Report, progress
from runtime.commands import add_engine_arguments
from runtime.encoder import Encoder
from runtime.errors import PictureError, SymbolError
from runtime.files import outputs_for, write_atomically
from runtime.payload import HEADER_BYTES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this command."""
    parser.add_argument("bundle", type=Path)
    parser.add_argument("pictures", type=Path, nargs="+", metavar="PICTURE")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="where the .spl files go")
    add_engine_arguments(parser)


def run(args: argparse.Namespace) -> Report:
    """Encode each picture; a broken one is reported and does not stop the others."""
    outputs = outputs_for(args.pictures, args.output, ".spl")
    encoder = Encoder.open(args.bundle, engine=args.engine, threads=args.threads, coder=args.coder)
    report = Report(data={"payloads": []})
    pairs = list(zip(args.pictures, outputs, strict=True))
    for picture, output in progress(pairs, "encoding"):
        try:
            payload = encoder.encode(picture)
        except (PictureError, SymbolError) as why:
            report.failures.append(str(why))
            continue
        write_atomically(output, payload)
        timing = encoder.last_timing
        assert timing is not None
        body = len(payload) - HEADER_BYTES
        report.lines.append(f"{output}  {body} payload bytes ({len(payload)} on the wire)  {timing.total:.1f} ms")
        report.data["payloads"].append(
            {
                "picture": str(picture),
                "payload": str(output),
                "payload_bytes": body,
                "wire_bytes": len(payload),
                "ms": {**timing, "total": timing.total},
            }
        )
    return report
