"""``decode BUNDLE PAYLOAD... -o DIR``."""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np

from runtime.cli import Report, progress
from runtime.commands import add_coder_argument
from runtime.encoder import Decoder
from runtime.errors import PayloadError
from runtime.files import outputs_for, write_atomically


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this command."""
    parser.add_argument("bundle", type=Path, help="any bundle of the model, whatever its target")
    parser.add_argument("payloads", type=Path, nargs="+", metavar="PAYLOAD")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="where the .npy files go")
    parser.add_argument("--latent", action="store_true", help="write float32 latents instead of int32 symbols")
    parser.add_argument("--tables", type=Path, nargs="+", default=[], metavar="BUNDLE", help="more senders' bundles")
    add_coder_argument(parser)


def run(args: argparse.Namespace) -> Report:
    """Decode each payload; a damaged one is reported and does not stop the others."""
    outputs = outputs_for(args.payloads, args.output, ".npy")
    decoder = Decoder.open(args.bundle, coder=args.coder, tables=args.tables)
    decode = decoder.latent if args.latent else decoder.symbols
    report = Report(data={"arrays": []})
    for source, output in progress(list(zip(args.payloads, outputs, strict=True)), "decoding"):
        try:
            array = decode(source.read_bytes())
        except (PayloadError, OSError) as why:
            report.failures.append(f"{source}: {getattr(why, 'strerror', None) or why}")
            continue
        buffer = io.BytesIO()
        np.save(buffer, array)
        write_atomically(output, buffer.getvalue())
        report.lines.append(f"{output}  {array.dtype} {'x'.join(map(str, array.shape))}")
        report.data["arrays"].append({"payload": str(source), "array": str(output), "shape": list(array.shape)})
    return report
