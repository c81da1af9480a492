"""The command line of the exporter."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calibration.commands import add_selection_arguments, selection
from encoders import registry, weights
from export.capabilities import capability_table
from runtime import cli
from runtime.cli import Report, progress
from runtime.errors import SplitportError, UsageError

if TYPE_CHECKING:
    from export.request import Exported


def main(argv: Sequence[str] | None = None, prog: str = "python -m export") -> int:
    """Run one command line; returns the exit code."""
    parser = cli.Parser(prog=prog, description="Export an encoder or a receiver to a bundle.")
    parser.add_argument("--list", action="store_true", help="what can be exported, as a table")
    parser.add_argument("--register", action="append", default=[], metavar="PACKAGE", help="of your own, with models")
    parser.add_argument("--model", help="model name; --list shows them")
    parser.add_argument("--target", help="onnx, tflite, openvino, executorch, or all")
    parser.add_argument("--precision", default="fp32", help="fp32 (default), fp16, bf16 or int8")
    parser.add_argument("--side", choices=("encoder", "receiver"), default="encoder")
    origin = parser.add_mutually_exclusive_group()
    origin.add_argument("--checkpoint", type=Path, metavar="FILE", help="trained weights of your own")
    origin.add_argument("--weights", metavar="NAME", help="shipped weights; --list shows them, the default first")
    parser.add_argument("--backbone", type=Path, metavar="FILE", help="network around a checkpoint's bottleneck")
    parser.add_argument("--table", type=Path, metavar="FILE", help="symbol frequencies that belong to a checkpoint")
    parser.add_argument("--size", type=int, metavar="N", help="side of the square picture; the model's own without it")
    parser.add_argument("--calibration", metavar="DATA", help="real pictures: a folder, .npz, or tar shards, s3:// too")
    add_selection_arguments(parser, "calibration-")
    parser.add_argument("--recipe", metavar="R", help="how int8 is made: static, dynamic or mixed")
    parser.add_argument(
        "--codec", choices=("plain", "context"), help="context where --calibration is given, else plain"
    )
    parser.add_argument("--max-drop", type=float, metavar="POINTS", help="of top-1, that int8 may cost; layers go back")
    parser.add_argument("--output", type=Path, metavar="DIR", help="bundle directory; with --target all, its parent")
    cli.common(parser)
    parser.set_defaults(command=_run)
    return cli.run(parser, argv)


def _run(args: argparse.Namespace) -> Report:
    for package in args.register:
        _register(package)
    if args.list:
        shipped = {name: weights.names(spec) for name, spec in registry.MODELS.items()}
        described = {name: _described(spec) for name, spec in registry.MODELS.items()}
        table = [capability_table()]
        return Report(table, {"models": sorted(registry.MODELS), "weights": shipped, "described": described})
    if not args.model or not args.target:
        raise UsageError("give --model and --target, or --list to see what there is")
    model = registry.spec(args.model)  # a wrong name or size is told before anything slow is imported
    if args.size is not None:
        model.grid(args.size)
    model.check(args.side)
    for kind in ("checkpoint", "backbone", "table"):
        file = getattr(args, kind)
        if file and not file.is_file():
            raise UsageError(f"{kind} {file} is not a file")
        if file and kind != "checkpoint" and kind not in model.parts:
            raise UsageError(f"{args.model} takes no --{kind}: all it needs is in its checkpoint")
    if not args.checkpoint:
        weights.find(model, args.weights)
    # The pipeline imports torch, which takes seconds.
    from export.pipeline import export
    from export.request import Request
    from export.targets import TARGETS, check_pair, spec

    able = [
        name
        for name, target in TARGETS.items()
        if args.side in target.sides and args.precision in target.precisions and name not in model.refused
    ]
    names = able if args.target == "all" and able else [args.target]
    for name in names:
        check_pair(spec(name), args.precision, args.side, args.recipe)
        model.check(name)
    if args.codec == "context" and (args.side != "encoder" or not args.calibration):
        raise UsageError("--codec context is fitted to an encoder's symbols: give pictures with --calibration")
    report = Report(data={"bundles": []})
    for name in progress(names, "exporting"):
        request = Request(
            args.model, name, args.precision, args.side, args.checkpoint, args.weights, args.size,
            selection(args.calibration, args) if args.calibration else None, args.recipe, args.codec,
            args.max_drop, debug=args.debug, backbone=args.backbone, table=args.table,
        )  # fmt: skip
        if args.output:
            output = args.output / request.destination.name if args.target == "all" else args.output
            request = replace(request, output=output)
        try:
            _add(report, export(request), _others(args))
        except UsageError:
            raise
        except SplitportError as why:
            if len(names) == 1 or args.debug:
                raise
            report.failures.append(f"{name}: {why}")  # the other targets may well succeed
    return report


def _register(package: str) -> None:
    """Import a package that registers models, from where the command runs, too."""
    sys.path.insert(0, str(Path.cwd()))
    try:
        importlib.import_module(package)
    except ImportError as why:
        raise UsageError(f"--register {package}: {why}") from why
    finally:
        sys.path.pop(0)


def _described(spec: registry.ModelSpec) -> dict[str, Any]:
    """What a program may want to know of a model before it exports it."""
    fields = ("system", "size", "split", "parameters", "bits", "macs", "codec", "task", "summary")
    told = {name: getattr(spec, name) for name in fields}
    return {**told, "latent": [spec.latent_channels, *spec.grid(spec.size)], "refused": dict(spec.refused)}


def _others(args: argparse.Namespace) -> str:
    """What else there would be, for those who took the default."""
    first, *others = weights.names(registry.spec(args.model))
    if args.checkpoint or args.weights or not others:
        return ""
    return f" (--weights takes {first}, {', '.join(others)})"


def _add(report: Report, made: Exported, others: str) -> None:
    manifest = made.manifest
    if not report.lines:
        report.lines.append(f"{manifest.model} {manifest.side}, weights: {manifest.weights}{others}")
    parity = manifest.parity
    if "bytes_int8" in parity:
        checked = ""
    elif "agreement" in parity:
        pictures = f"{parity['pictures']} {parity['kind']} pictures"
        checked = f"{100 * parity['agreement']:.3f} % of symbols equal to PyTorch's on {pictures}"
    else:
        checked = f"logits within {parity['largest_difference']:.1g} of PyTorch's"
    first, *rest = [checked, *made.notes] if checked else made.notes
    report.lines += [f"{made.path}  {made.file_bytes / 1e6:.2f} MB  {first}", *rest]
    report.data["bundles"].append(
        {"path": str(made.path), "target": manifest.target, "graph_bytes": made.file_bytes, "parity": parity,
         "weights": manifest.weights}
    )  # fmt: skip
