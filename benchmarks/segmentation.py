"""SPIC's segmentation encoders at their full size, 513x513: export, file, encode and payload.

    python -m benchmarks.segmentation --data PICTURES [--files DIR] [--models NAME...] [--targets NAME...]

DIR holds published files as in benchmarks.spic; a row whose files are missing has seeded weights. The network around
the unit is not trained unless torchvision has downloaded it before: times and sizes hold, payloads are of an untrained
network.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from benchmarks.spic import files
from calibration import Selection, choose
from encoders.systems.spic_rows import ROWS
from export import Request, export
from runtime import Decoder, Encoder

_DEFAULT = ("spic_seg_s1_2", "spic_seg_s2_0", "spic_seg_s3_5")
COLUMNS = ("model", "weights", "target", "export", "file", "network", "coding", "payload", "beside it")


def _line(
    name: str, target: str, precision: str, data: str, published: Path | None, size: int | None, scratch: Path
) -> str:
    row = next(row for row in ROWS if row.name == name)
    weights, table = files(published, row) if published else (None, None)
    given = weights is not None and weights.is_file()
    request = Request(
        name, target, precision, size=size, checkpoint=weights if given else None, table=table if given else None,
        calibration=Selection(data, count=8) if precision == "int8" else None, codec="plain", output=scratch,
    )  # fmt: skip
    begin = perf_counter()
    made = export(request)
    spent = perf_counter() - begin
    encoder, decoder = Encoder.open(made.path, threads=1), Decoder.open(made.path)
    times, sizes = [], []
    for pixels in choose(Selection(data, count=6), made.manifest.size).pixels:
        payload = encoder.encode(pixels)
        assert decoder.symbols(payload).tolist() == encoder.symbols(pixels).tolist()
        times.append(encoder.last_timing)
        sizes.append(len(payload) - 12)
    network, code = (statistics.median(getattr(t, stage) for t in times[1:]) for stage in ("network", "code"))
    cells = [
        name, made.manifest.weights, f"{target} {precision}", f"{spent:.0f} s", f"{made.file_bytes / 1e6:.1f} MB",
        f"{network:.0f} ms", f"{code:.2f} ms", f"{statistics.fmean(sizes):.0f} B",
        f"{made.manifest.side_channel_bytes:,} B",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, metavar="PICTURES")
    parser.add_argument("--files", type=Path, metavar="DIR")
    parser.add_argument("--models", nargs="+", default=_DEFAULT, choices=[r.name for r in ROWS if r.task == "seg"])
    parser.add_argument("--targets", nargs="+", default=["onnx"])
    parser.add_argument("--precisions", nargs="+", default=["fp32"])
    parser.add_argument("--size", type=int, metavar="N", help="side of the picture; 513 without it")
    args = parser.parse_args(argv)
    print(f"| {' | '.join(COLUMNS)} |")
    print("|---" * len(COLUMNS) + "|")
    for name in args.models:
        for target in args.targets:
            for precision in args.precisions:
                with tempfile.TemporaryDirectory() as scratch:
                    where = args.data, args.files, args.size, Path(scratch) / "bundle"
                    print(_line(name, target, precision, *where), flush=True)


if __name__ == "__main__":
    main()
