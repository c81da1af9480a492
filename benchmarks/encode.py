"""Full encode, uint8 picture in memory to payload bytes: the original PyTorch path against each engine.

    python -m benchmarks.encode [--models ours_n0 ours_n4] [--threads 1 2] [--precisions fp32 int8] [--rounds 15]
                                [--calibration DATA] [--checkpoint FILE]

The original path is what the paper's code does: ToTensor and Normalize, the eager encoder, CompressAI's compress, a
pickle.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import interleave


def _picture() -> np.ndarray:
    import sklearn.datasets

    from runtime.preprocess import to_pixels

    return to_pixels(Path(sklearn.datasets.__file__).parent / "images" / "flower.jpg", 224)


def _original(model: str, checkpoint: str | None, threads: int) -> tuple[Callable[[], object], dict[str, Any]]:
    from encoders.original import want

    encoding = want(model, threads, "", Path(checkpoint) if checkpoint else None).opening()
    pixels = _picture()
    return lambda: encoding.encode(pixels), {"payload_bytes": encoding.count(encoding.encode(pixels)[0]).payload}


def _ours(bundle: str, threads: int, coder: str | None) -> tuple[Callable[[], object], dict[str, Any]]:
    from runtime import Encoder

    encoder, pixels = Encoder.open(bundle, threads=threads, coder=coder), _picture()
    facts = {"payload_bytes": len(encoder.encode(pixels)) - 12, "coder": encoder.coder}
    return lambda: encoder.encode(pixels), facts


def _make(kind: str, **arguments: Any) -> tuple[Callable[[], object], dict[str, Any]]:
    return {"original": _original, "ours": _ours}[kind](**arguments)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=["ours_n0", "ours_n4", "ours_n8"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--precisions", nargs="+", default=["fp32", "int8"])
    parser.add_argument("--calibration", metavar="DATA", help="for int8; built-in pictures without it")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--coder")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--runs", type=int, default=15)
    args = parser.parse_args()
    from calibration import Selection
    from export import Request, export
    from export.targets import TARGETS

    checkpoint = str(args.checkpoint.resolve()) if args.checkpoint else None
    data = Selection(args.calibration) if args.calibration else None
    with tempfile.TemporaryDirectory() as folder:
        for model in args.models:
            bundles = {}
            for precision, target in itertools.product(args.precisions, TARGETS):
                output = Path(folder) / model / f"{target}-{precision}"
                request = Request(model, target, precision, checkpoint=args.checkpoint, calibration=data, output=output)
                bundles[f"{target} {precision}"] = export(request).path
            for threads in args.threads:
                workers = {
                    "original (torch + CompressAI)": interleave.Worker(
                        __file__,
                        {"kind": "original", "model": model, "checkpoint": checkpoint, "threads": threads},
                        threads,
                    )
                }
                for name, bundle in bundles.items():
                    arguments = {"kind": "ours", "bundle": str(bundle), "threads": threads, "coder": args.coder}
                    workers[name] = interleave.Worker(__file__, arguments, threads)
                _print(model, threads, workers, interleave.race(workers, args.rounds, args.runs))


def _print(
    model: str, threads: int, workers: dict[str, interleave.Worker], results: dict[str, tuple[float, float]]
) -> None:
    print(f"\n{model}, {threads} thread{'s' * (threads > 1)}, one 224x224 picture in memory to payload\n")
    print("| path | ms | times faster | payload bytes | coder |\n|---|---|---|---|---|")
    for name, (median, ratio) in results.items():
        facts = workers[name].facts
        coder = facts.get("coder", "CompressAI rANS")
        print(f"| {name} | {median:.2f} | {ratio:.2f} | {facts['payload_bytes']} | {coder} |", flush=True)
        workers[name].close()


if __name__ == "__main__":
    interleave.serve(_make) if interleave.is_worker() else main()
