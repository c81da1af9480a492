"""What it costs that a hyperprior computes in integers: bytes beside the float network's, and milliseconds.

    python -m benchmarks.hyper --data PICTURES [--model NAME [--checkpoint FILE]]

The float rows are those that PyTorch's convolutions give on this machine; with these a payload could be decoded on
this machine only. CompressAI's column is the length of its own strings for the same weights and symbols.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from calibration import Selection, choose
from encoders.hyperprior import HyperModel
from encoders.loading import load
from runtime import codecs, coder

_DEFAULT = ("shp_resnet50", "mshp_resnet50", "bmshj2018_hyperprior", "mbt2018_mean")


def _row(name: str, checkpoint: Path | None, data: str, count: int) -> str:
    loaded = load(name, file=checkpoint)
    model, spec = loaded.model, loaded.spec
    assert isinstance(model, HyperModel)
    tables = model.tables(spec.grid(spec.size))
    codec = codecs.make("hyperprior", tables, None)
    _, direct = coder.make_hyper(None, tables)
    conditional, bottleneck = model.coder.gaussian_conditional, model.coder.entropy_bottleneck
    bottleneck.update(force=True)
    conditional.update()
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (spec.mean, spec.std))
    ours, floats, theirs, different, taken = [], [], [], [], []
    for pixels in choose(Selection(data, count=count), spec.size).pixels:
        x = (torch.from_numpy(pixels).permute(2, 0, 1) / 255 - mean) / std
        with torch.no_grad():
            y, z = model.encoder(x.unsqueeze(0))
            strings = bottleneck.compress(z)
            z_hat = bottleneck.decompress(strings, z.shape[-2:])
            given = model.coder.h_s(z_hat)
            scales, means = given.chunk(2, 1) if model.means else (given, torch.zeros_like(given))
            rows = conditional.build_indexes(scales)
            strings += conditional.compress(y, rows, means=means if model.means else None)
        side = np.rint(z[0].numpy() - model.outputs[1].centre[:, None, None])
        message = codec.read([y[0].numpy(), side])
        begin = perf_counter()
        tables.hyper.synthesise(message.side)  # type: ignore[union-attr, arg-type]
        taken.append(1e3 * (perf_counter() - begin))
        exact, _ = tables.hyper.synthesise(message.side)  # type: ignore[union-attr, arg-type]
        different.append(float((exact != rows[0].numpy()).mean()))
        ours.append(len(codec.encode(message).body))
        symbols = torch.round(y - means)[0].int().numpy()
        flat = message.side.reshape(len(message.side), -1)  # type: ignore[union-attr]
        floats.append(len(direct.encode(flat, symbols.ravel(), rows[0].numpy().astype(np.uint8).ravel())))
        theirs.append(sum(map(len, strings)))
    integer, real, original, other = map(statistics.fmean, (ours, floats, theirs, different))
    return (
        f"| {name} | {loaded.weights} | {original:.1f} | {real:.1f} | {integer:.1f} "
        f"| {100 * (integer / real - 1):+.3f} % | {100 * other:.3f} % | {statistics.median(taken):.1f} |"
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, metavar="PICTURES")
    parser.add_argument("--model", choices=_DEFAULT)
    parser.add_argument("--checkpoint", type=Path, metavar="FILE")
    parser.add_argument("--count", type=int, default=20)
    args = parser.parse_args(argv)
    print("| model | weights | CompressAI, B | float rows, B | integer rows, B | cost | other rows | synthesis, ms |")
    print("|---|---|---|---|---|---|---|---|")
    for name in [args.model] if args.model else _DEFAULT:
        print(_row(name, args.checkpoint, args.data, args.count), flush=True)


if __name__ == "__main__":
    main()
