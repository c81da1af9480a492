"""The command line of the models: training."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from encoders import registry
from runtime import cli
from runtime.cli import Report
from runtime.errors import UsageError

if TYPE_CHECKING:
    from encoders.training.recipe import Progress


def main(argv: Sequence[str] | None = None, prog: str = "python -m encoders") -> int:
    """Run one command line; returns the exit code."""
    parser = cli.Parser(prog=prog, description="Train an encoder, its prior and a small receiver.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    train = commands.add_parser("train", help="train on a labelled folder of photographs")
    train.add_argument("--model", required=True, help="model name; python -m export --list shows them")
    train.add_argument("--data", type=Path, required=True, metavar="DIR", help="one folder a class")
    train.add_argument("--lmbda", type=float, required=True, help="weight of bits per pixel against cross-entropy")
    train.add_argument("--out", type=Path, required=True, metavar="FILE", help="weights, .safetensors")
    train.add_argument("--epochs", type=int, default=60)
    train.add_argument("--batch", type=int, default=32)
    train.add_argument("--size", type=int, metavar="N", help="side of the picture; the model's own without it")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--hold-out", type=float, default=0.12, metavar="SHARE", help="of each class, to choose by")
    train.add_argument("--half", action="store_true", help="bfloat16 where it pays (about a third faster with AVX-512)")
    train.add_argument("--store", choices=("float32", "float16"), default="float32", help="of filters, on disk")
    train.set_defaults(command=_train)
    cli.common(train)
    return cli.run(parser, argv)


def _train(args: argparse.Namespace) -> Report:
    spec = registry.spec(args.model)
    size = spec.size if args.size is None else args.size
    spec.grid(size)
    if args.out.suffix != ".safetensors":
        raise UsageError(f"--out {args.out} must end in .safetensors")
    if not 0 < args.hold_out < 1 or args.epochs < 1 or args.batch < 2 or args.lmbda < 0:
        raise UsageError("--hold-out lies between 0 and 1, --epochs is at least 1, --batch 2, --lmbda not negative")
    from encoders.training.data import Photographs, labelled
    from encoders.training.recipe import Recipe, Run
    from encoders.training.save import round_filters, write

    source = labelled(args.data)
    kept, held = source.split(args.hold_out, args.seed)
    recipe = Recipe(args.model, args.lmbda, epochs=args.epochs, batch=args.batch, seed=args.seed)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    run = Run(recipe, spec, source.classes, args.out.with_suffix(".partial"), args.half)
    resumed = run.done
    run.train(Photographs(kept, size), _show(args.epochs))
    if args.store == "float16":
        round_filters(run.average)
    accuracy, bpp = run.evaluate(Photographs(held, size))
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
