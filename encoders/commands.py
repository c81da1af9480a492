"""The command line of the models: training, and evaluation with real payloads."""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from encoders import registry
from runtime import cli
from runtime.bundle import Bundle
from runtime.cli import Report
from runtime.errors import UsageError
from runtime.pictures import labelled

if TYPE_CHECKING:
    from encoders.training.recipe import Progress


def main(argv: Sequence[str] | None = None, prog: str = "python -m encoders") -> int:
    """Run one command line; returns the exit code."""
    parser = cli.Parser(prog=prog, description="Train an encoder with its prior and receiver; evaluate exported ones.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    train = commands.add_parser("train", help="train on a labelled folder of photographs")
    train.add_argument("--model", required=True, help="model name; python -m export --list shows them")
    train.add_argument("--data", type=Path, required=True, metavar="DIR", help="one folder a class")
    train.add_argument("--lmbda", type=float, required=True, help="weight of bits per pixel against cross-entropy")
    train.add_argument("--out", type=Path, required=True, metavar="FILE", help="weights, .safetensors or .pt")
    train.add_argument("--tail", default="small", help="receiver: small (default), or resnet50, the paper's")
    train.add_argument(
        "--teacher", type=Path, metavar="FILE", help="trained ResNet-50 that guides, and starts its like"
    )
    train.add_argument(
        "--start", type=Path, metavar="FILE", help="go on from these weights, or from a shallower model's"
    )
    train.add_argument("--epochs", type=int, default=60)
    train.add_argument("--batch", type=int, default=32)
    train.add_argument("--rate", type=float, default=1.5e-3, help="peak learning rate (default: 0.0015)")
    train.add_argument("--size", type=int, metavar="N", help="side of the picture; the model's own without it")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--hold-out", type=float, default=0.12, metavar="SHARE", help="of each class, to choose by")
    train.add_argument("--device", help="cpu or cuda; by default cuda where there is one")
    train.add_argument("--workers", type=int, default=4, help="threads that prepare pictures (default: 4)")
    train.add_argument("--half", action="store_true", help="bfloat16 where it pays (about a third faster with AVX-512)")
    train.add_argument("--store", choices=("float32", "float16"), default="float32", help="of filters, on disk")
    train.set_defaults(command=_train)
    evaluate = commands.add_parser("evaluate", help="accuracy and payload bytes of a bundle over a labelled folder")
    evaluate.add_argument("bundle", type=Path, help="of an encoder")
    evaluate.add_argument("--receiver", type=Path, required=True, metavar="BUNDLE", help="of the same model")
    evaluate.add_argument("--data", type=Path, required=True, metavar="DIR", help="one folder a class")
    evaluate.add_argument("-o", "--output", type=Path, default=Path("results.jsonl"), metavar="FILE",
                          help="the record is added to this file (default: results.jsonl)")  # fmt: skip
    evaluate.add_argument("--threads", type=int, help="threads of the engines; by default their own choice")
    evaluate.add_argument("--device-name", default=platform.node(), help="what the record calls this machine")
    evaluate.set_defaults(command=_evaluate)
    for subparser in (train, evaluate):
        cli.common(subparser)
    return cli.run(parser, argv)


def _train(args: argparse.Namespace) -> Report:
    spec = registry.spec(args.model)
    if not spec.tails:
        able = ", ".join(name for name, known in registry.MODELS.items() if known.tails)
        raise UsageError(f"{args.model} has the paper's receiver only, and is not trained here; these are: {able}")
    size = spec.size if args.size is None else args.size
    spec.grid(size)
    if args.out.suffix not in (".safetensors", ".pt"):
        raise UsageError(f"--out {args.out} must end in .safetensors or .pt")
    if not 0 < args.hold_out < 1 or args.epochs < 1 or args.batch < 2 or args.lmbda < 0 or args.workers < 1:
        raise UsageError(
            "--hold-out lies between 0 and 1, --epochs and --workers are at least 1, --batch 2, --lmbda not negative"
        )
    import torch

    from encoders import checkpoint
    from encoders.model import Task
    from encoders.training.data import Photographs
    from encoders.training.recipe import Recipe, Run
    from encoders.training.save import round_filters, write
    from encoders.training.teacher import Teacher

    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    source = labelled(args.data)
    kept, held = source.split(args.hold_out, args.seed)
    recipe = Recipe(
        args.model, args.lmbda, args.epochs, args.batch, args.rate, seed=args.seed, taught=args.teacher is not None,
        start=checkpoint.digest(args.start) if args.start else None,
    )  # fmt: skip
    teacher = Teacher(args.teacher, len(source.classes)) if args.teacher else None
    task = Task(source.classes, args.tail)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    run = Run(
        recipe, spec, task, args.out.with_suffix(".partial"), half=args.half, device=device, teacher=teacher,
        start=args.start,
    )  # fmt: skip
    resumed = run.done
    run.train(Photographs(kept, size, args.workers), _show(args.epochs))
    if args.store == "float16":
        round_filters(run.average)
    accuracy, bpp = run.evaluate(Photographs(held, size, args.workers))
    facts = {
        "data": args.data.name, "trained_on": len(kept.items), "held_out": len(held.items), "size": size,
        "held_out_top1": accuracy, "held_out_estimated_bpp": bpp,
    }  # fmt: skip
    write(args.out, run, facts, half=args.store == "float16")
    run.state.unlink()
    lines = [f"resumed after epoch {resumed}"] if resumed else []
    lines.append(
        f"{args.out}: {100 * accuracy:.1f} % top-1 and {bpp:.3f} bpp (estimated) on {len(held.items)} held-out pictures"
    )
    return Report(lines, {"weights": str(args.out), **facts})


def _show(epochs: int) -> Callable[[Progress], None]:
    def each(progress: Progress) -> None:
        # A terminal keeps one line; a log file, where epochs take minutes, gets one for each.
        start, end = ("\r", "\n" if progress.epoch == epochs else "") if sys.stderr.isatty() else ("", "\n")
        line = f"epoch {progress.epoch}/{epochs}  loss {progress.loss:.3f}  {progress.bpp:.3f} bpp  "
        sys.stderr.write(f"{start}{line}{100 * progress.accuracy:.1f} % of training crops{end}")
        sys.stderr.flush()

    return each


def _evaluate(args: argparse.Namespace) -> Report:
    from profiling import records
    from profiling.evaluation import evaluate

    sent, received = (Bundle.open(path).manifest for path in (args.bundle, args.receiver))
    if received.task != "classification":
        raise UsageError(f"{received.model} does not classify pictures: there is no accuracy to evaluate")
    journal = args.output.with_name(f"{args.output.name}.{args.bundle.resolve().name}.partial")
    records.check_output(args.output)  # a file that is something else is told before the work
    record, broken = evaluate(
        args.bundle, args.receiver, args.data, journal, threads=args.threads, device_name=args.device_name,
        watch=lambda items: cli.progress(items, "evaluating"),
    )  # fmt: skip
    records.append(args.output, record)
    task = record.task or {}
    lines = [
        f"{record.model} {record.target} {record.precision}, weights: {record.weights}",
        f"top-1 {task['top1']:.2f} %, top-5 {task['top5']:.2f} % of {task['n']} pictures of {args.data}",
        f"{record.payload_bytes['mean']:.1f} payload bytes a picture (p50 {record.payload_bytes['p50']:.0f}, "
        f"p90 {record.payload_bytes['p90']:.0f}), {record.bpp:.4f} bpp; the prior estimates {record.estimated_bpp:.4f}",
        f"record added to {args.output}",
    ]
    if sent.checkpoint_sha256 != received.checkpoint_sha256:
        lines.insert(1, f"the receiver has weights of another file: {received.weights}")
    lines += [f"left out: {outcome.broken}" for outcome in broken]
    fields = ("payload_bytes", "wire_bytes", "bpp", "estimated_bpp", "weights")
    return Report(lines, {**task, **{name: getattr(record, name) for name in fields},
                          "left_out": [outcome.file for outcome in broken], "output": str(args.output)})  # fmt: skip
