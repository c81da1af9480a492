"""``encode BUNDLE PICTURE... -o DIR``."""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

from PIL import Image

from runtime.cli import Report, progress
from runtime.commands import add_engine_arguments
from runtime.encoder import Encoder
from runtime.errors import PictureError, SymbolError
from runtime.files import outputs_for, write_atomically
from runtime.payload import HEADER_BYTES
from runtime.preprocess import to_pixels


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this command."""
    parser.add_argument("bundle", type=Path)
    parser.add_argument("pictures", type=Path, nargs="+", metavar="PICTURE")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="where the .spl files go")
    parser.add_argument("--compare", action="store_true", help="with JPEG and PNG of the same pixels, too")
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
        stages = ", ".join(f"{stage} {ms:.2f}" for stage, ms in timing.items() if stage != "container")
        report.lines.append(
            f"{output}  {body} payload bytes ({len(payload)} on the wire)  {timing.total:.1f} ms ({stages})"
        )
        beside = encoder.bundle.manifest.side_channel_bytes
        if beside:
            report.lines.append(f"  and {beside:,} bytes beside it, without which no receiver can use it")
        fields: dict[str, Any] = {
            "picture": str(picture),
            "payload": str(output),
            "payload_bytes": body,
            "wire_bytes": len(payload),
            "side_channel_bytes": beside,
            "ms": {**timing, "total": timing.total},
        }
        if args.compare:
            others = _other_formats(picture, encoder.bundle.manifest.size)
            fields["compared_bytes"] = others
            report.lines += [
                f"  {name} of the same pixels: {size:,} bytes, {size / (body + beside):.1f} times as many"
                for name, size in others.items()
            ]
        report.data["payloads"].append(fields)
    return report


def _other_formats(picture: Path, size: int) -> dict[str, int]:
    """Bytes of the very pixels that the network sees, in the formats that one would send otherwise."""
    image = Image.fromarray(to_pixels(picture, size))
    formats: dict[str, dict[str, Any]] = {
        "JPEG (quality 75)": {"format": "JPEG", "quality": 75, "optimize": True},
        "PNG": {"format": "PNG", "optimize": True},
    }
    sizes = {}
    for name, options in formats.items():
        file = io.BytesIO()
        image.save(file, **options)
        sizes[name] = file.tell()
    return sizes
