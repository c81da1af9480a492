"""``predict RECEIVER_BUNDLE PAYLOAD...``."""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from runtime.cli import Report, progress
from runtime.commands import add_engine_arguments
from runtime.errors import PayloadError, UsageError
from runtime.files import outputs_for, write_atomically
from runtime.receiver import Receiver


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this command."""
    parser.add_argument("bundle", type=Path, metavar="RECEIVER_BUNDLE")
    parser.add_argument("payloads", type=Path, nargs="+", metavar="PAYLOAD")
    parser.add_argument("--tables", type=Path, nargs="+", default=[], metavar="BUNDLE", help="senders' bundles")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="where rebuilt pictures, or maps of class numbers, go as .png"
    )
    parser.add_argument("--top", type=int, default=5, help="how many classes to print (default: 5)")
    add_engine_arguments(parser)


def run(args: argparse.Namespace) -> Report:
    """Predict from each payload."""
    if args.top < 1:
        raise UsageError(f"--top must be at least 1, not {args.top}")
    receiver = Receiver.open(
        args.bundle, tables=args.tables, engine=args.engine, threads=args.threads, coder=args.coder
    )
    if receiver.bundle.manifest.task == "picture" and not args.output:
        raise UsageError(f"{receiver.bundle.manifest.model} rebuilds pictures: say where they go with -o DIR")
    outputs = (
        dict(zip(args.payloads, outputs_for(args.payloads, args.output, ".png"), strict=True)) if args.output else {}
    )
    report = Report(data={"predictions": [], "weights": receiver.bundle.manifest.weights})
    if receiver.bundle.manifest.checkpoint_sha256 is None:
        report.lines.append(f"weights: {receiver.bundle.manifest.weights}")
    for source in progress(args.payloads, "predicting"):
        try:
            told, pixels = _predict(receiver, source.read_bytes(), args.top)
        except (PayloadError, OSError) as why:
            report.failures.append(f"{source}: {getattr(why, 'strerror', None) or why}")
            continue
        report.lines.append(str(source))
        report.lines += [f"  {100 * share:6.2f} %  {name}" for name, share in told.get("ranked", ())]
        if args.output and pixels is not None:
            output = outputs[source]
            write_atomically(output, _png(pixels))
            report.lines.append(f"  {output}")
            told["picture"] = str(output)
        report.data["predictions"].append({"payload": str(source), **told})
    return report


def _predict(receiver: Receiver, payload: bytes, top: int) -> tuple[dict[str, Any], npt.NDArray[np.uint8] | None]:
    if receiver.bundle.manifest.task == "picture":
        return {}, receiver.picture(payload)
    prediction = receiver.predict(payload)
    return {"ranked": prediction.ranked[:top]}, prediction.map


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
