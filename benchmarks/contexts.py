"""What context coding saves: every shipped encoder, fp32 and int8, on pictures that nothing was fitted to.

    python -m benchmarks.contexts --calibration TRAIN --data VAL [--data OTHERS] [--plot FILE.png]

The same symbols are coded with the prior's tables, with tables refitted on the calibration pictures and with contexts
fitted on them. Accuracy is that of the shipped receiver; it cannot depend on the coding, and belongs to the curves.
Folders whose classes the receiver does not know are measured in bytes alone.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from calibration import Pictures, Selection, choose
from calibration.refit import refit
from encoders import registry, weights
from encoders.loading import load
from export import Request, drift, export
from runtime import Encoder, codecs
from runtime.codecs import Codec, Message
from runtime.coder import Symbols

_ALL = 1 << 20
_TIMED = 200


def _milliseconds(codec: Codec, symbols: list[Symbols]) -> tuple[float, float]:
    """Medians of one encode and one decode."""
    taken: tuple[list[float], list[float]] = ([], [])
    for each in symbols[:_TIMED]:
        begin = perf_counter()
        coded = codec.encode(Message(each))
        middle = perf_counter()
        codec.decode(coded.body, each.shape[1:], coded.plain)
        for times, spent in zip(taken, (middle - begin, perf_counter() - middle), strict=True):
            times.append(1e3 * spent)
    return statistics.median(taken[0]), statistics.median(taken[1])


def _accuracy(model: str, name: str, pictures: Pictures, codec: Codec, symbols: list[Symbols]) -> float | None:
    receiver = load(model, "receiver", None, name).model
    names = list(receiver.class_names)
    if any(label not in names for label in pictures.labels):
        return None
    messages = [Message(each) for each in symbols]
    return drift.top1(receiver, codec, messages, [names.index(str(label)) for label in pictures.labels])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calibration", required=True, metavar="DATA")
    parser.add_argument("--data", required=True, action="append", metavar="DATA")
    parser.add_argument("--count", type=int, default=1024, help="pictures that contexts are fitted to (default: 1024)")
    parser.add_argument("--models", nargs="+", default=list(registry.MODELS))
    parser.add_argument("--target", default="tflite")
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = {Path(each).name: choose(Selection(each, _ALL), 224) for each in args.data}
    fitting = choose(Selection(args.calibration, args.count), 224).pixels
    curves: list[tuple[str, str, list[float], float]] = []
    columns = ("encoder", "precision", "pictures", "prior's tables", "refitted", "contexts", "fewer than refitted",
               "than prior's", "plain used", "top-1", "encode ms, plain / contexts", "decode ms")  # fmt: skip
    print(f"| {' | '.join(columns)} |")
    print("|---" * len(columns) + "|")
    with tempfile.TemporaryDirectory() as folder:
        for model in args.models:
            for name in weights.names(registry.spec(model)):
                if name == weights.SEEDED:
                    continue
                for precision in ("fp32", "int8"):
                    made = export(Request(
                        model, args.target, precision, weights=name, calibration=Selection(args.calibration),
                        output=Path(folder) / f"{model}-{name}-{precision}",
                    ))  # fmt: skip
                    encoder = Encoder.open(made.path, threads=1)
                    prior = load(model, weights=name).model.tables((28, 28))
                    fitted = refit(prior, [encoder.symbols(pixels) for pixels in fitting])
                    ways = {
                        "prior": codecs.make("factorized", prior, None),
                        "refitted": codecs.make("factorized", fitted, None),
                        "contexts": codecs.make("context", encoder.bundle.tables, None),
                    }
                    for title, pictures in data.items():
                        symbols = [encoder.symbols(pixels) for pixels in pictures.pixels]
                        coded = {way: [codec.encode(Message(each)) for each in symbols] for way, codec in ways.items()}
                        sizes = [float(np.mean([len(c.body) for c in each])) for each in coded.values()]
                        plain = sum(c.plain for c in coded["contexts"])
                        top1 = _accuracy(model, name, pictures, ways["prior"], symbols)
                        (e0, d0), (e1, d1) = (_milliseconds(ways[way], symbols) for way in ("refitted", "contexts"))
                        right = "" if top1 is None else f"{top1:.2f} %"
                        print(
                            f"| {model} {name} | {precision} | {title}, {len(symbols)} | {sizes[0]:.1f} B | "
                            f"{sizes[1]:.1f} B | **{sizes[2]:.1f} B** | {100 * (1 - sizes[2] / sizes[1]):.1f} % | "
                            f"{100 * (1 - sizes[2] / sizes[0]):.1f} % | {plain} | {right} | {e0:.3f} / {e1:.3f} | "
                            f"{d0:.3f} / {d1:.3f} |", flush=True,
                        )  # fmt: skip
                        if top1 is not None:
                            curves.append((model, precision, sizes, top1))
    if args.plot:
        _plot(curves, args.plot)


def _plot(curves: list[tuple[str, str, list[float], float]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.2, 4.6), layout="constrained")
    colours = {"ours_n0": "tab:orange", "ours_n4": "tab:blue", "ours_n8": "tab:green"}
    for model, colour in colours.items():
        for precision, marker in (("fp32", "o"), ("int8", "s")):
            points = sorted((sizes, top1) for m, p, sizes, top1 in curves if (m, p) == (model, precision))
            for column, style, way in ((0, "--", "prior's tables"), (2, "-", "contexts")):
                axes.plot(
                    [sizes[column] for sizes, _ in points], [top1 for _, top1 in points], style, color=colour,
                    marker=marker, markersize=6, markerfacecolor=colour if column == 2 else "white",
                    label=f"{model} {precision}, {way}",
                )  # fmt: skip
    axes.set(xscale="log", xlabel="payload bytes a picture", ylabel="top-1 (%)")
    axes.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%d"))
    axes.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    axes.set_xticks([100, 150, 200, 300, 400, 600, 800, 1000])
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, ncols=2, loc="lower right")
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
