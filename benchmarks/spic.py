"""What SPIC's payloads cost in its Huffman code and in a range coder: every row whose files are at hand.

    python -m benchmarks.spic --data DIR --pictures TRAIN --others VAL

DIR holds published files as <task>_weights/<split>/modelN.pth.tar and <task>_freq/<split>/freqN.pickle. Two sources of
symbols: *drawn* ones follow the published table, each independent of the others, as if every picture were average; the
others come from *pictures* through the published unit. The network before the unit is not trained here, so its features
are not what the unit was trained on: the unit's batch norms are measured anew on TRAIN, which gives each channel the
spread it was trained to have, but what neighbours and channels share is the untrained network's.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn

from calibration import Selection, choose
from calibration.refit import fitted, refit
from encoders import counts, spec
from encoders.checkpoint import read_state
from encoders.loading import load
from encoders.systems.spic import Unit
from encoders.systems.spic_rows import ROWS, Row
from runtime import codecs
from runtime.codecs import Message
from runtime.tables import Tables
from tests.golden import huffman

_BATCH = 8
COLUMNS = (
    "row", "latent", "drawn: Huffman", "range coder", "less", "pictures: Huffman", "its table counted anew",
    "range coder, published table", "refitted", "with contexts", "less than Huffman counted anew", "unseen symbols",
)  # fmt: skip


def files(data: Path, row: Row) -> tuple[Path, Path]:
    folders = (data / f"{row.task}_{kind}" / row.split for kind in ("weights", "freq"))
    return next(folders) / row.weights, next(folders) / row.table


@torch.no_grad()
def features(row: Row, pictures: list[np.ndarray]) -> torch.Tensor:
    """What the untrained network puts out where the unit stands."""
    loaded = load(row.name)
    head = nn.Sequential(*list(loaded.model.encoder.children())[: len(row.cut.head)]).eval()
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (loaded.spec.mean, loaded.spec.std))
    made = []
    for start in range(0, len(pictures), _BATCH):
        batch = torch.from_numpy(np.stack(pictures[start : start + _BATCH])).permute(0, 3, 1, 2) / 255
        made.append(head((batch - mean) / std))
    return torch.cat(made)


@torch.no_grad()
def symbols(row: Row, weights: Path, seen: torch.Tensor, count: int) -> list[np.ndarray]:
    """Of each picture; batch norms are measured on the first ``count``."""
    unit = Unit(row).eval()
    state = read_state(weights)
    unit.load_state_dict({key: state[key] for key in unit.state_dict()})
    encoder = nn.Sequential(*unit.encoder)
    for norm in (unit.bn2_1, unit.bn3_1):
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    encoder(seen[:count])
    encoder.eval()
    values = (encoder(seen) / float(np.float32(row.step))).round().to(torch.int32).numpy()
    return list(np.ascontiguousarray(values))


def ours(kind: str, tables: Tables, pictures: list[np.ndarray]) -> float:
    """Mean bytes of a body."""
    codec = codecs.make(kind, tables, None)
    return float(np.mean([len(codec.encode(Message(each)).body) for each in pictures]))


def theirs(table: dict[int, huffman.Code], pictures: list[np.ndarray]) -> float:
    """The same in Huffman's code; what the table has not seen becomes the nearest that it has."""
    known = np.array(sorted(symbol for symbol in table if symbol != huffman.END))
    sizes = []
    for each in pictures:
        nearest = known[np.abs(each.ravel()[:, None] - known).argmin(axis=1)]
        sizes.append(len(huffman.encode(nearest.tolist(), table)))
    return float(np.mean(sizes))


def counted(found: np.ndarray) -> dict[int, int]:
    return {int(k): int(found[k]) for k in np.flatnonzero(found)}


def line(row: Row, table: Path, weights: Path, seen: torch.Tensor, count: int) -> str:
    known = spec(row.name)
    grid = known.grid(known.size)
    found = counts.read(table, row.step)
    published = counts.tables(found, row.channels, grid[0] * grid[1], row.step)
    code = huffman.codes(counted(found))
    rng = np.random.default_rng(0)
    shape = (200, row.channels, *grid)
    drawn = list(rng.choice(len(found), size=shape, p=found / found.sum()).astype(np.int32))
    drawn_sizes = theirs(code, drawn), ours("histogram", published, drawn)

    made = symbols(row, weights, seen, count)
    fitting, others = made[:count], made[count:]
    unseen = np.mean([(~np.isin(each, np.flatnonzero(found))).mean() for each in others])
    anew = huffman.codes({0: 1} | counted(np.bincount(np.concatenate([each.ravel() for each in fitting]))))
    sizes = [theirs(code, others), theirs(anew, others), ours("histogram", published, others)]
    sizes.append(ours("factorized", refit(published, fitting), others))
    kind, contexts = fitted("context", published, fitting)
    sizes.append(ours(kind, contexts, others))
    cells = [
        row.name.removeprefix("spic_"), "x".join(map(str, shape[1:])), f"{drawn_sizes[0]:.1f} B",
        f"{drawn_sizes[1]:.1f} B", f"{100 * (1 - drawn_sizes[1] / drawn_sizes[0]):.1f} %",
        *(f"{size:.1f} B" for size in sizes), f"{100 * (1 - min(sizes[3:]) / sizes[1]):.1f} %", f"{100 * unseen:.3f} %",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--pictures", required=True, metavar="DATA", help="that tables are fitted to")
    parser.add_argument("--others", required=True, metavar="DATA", help="that bytes are counted on")
    parser.add_argument("--count", type=int, default=512, help="pictures to fit to (default: 512)")
    parser.add_argument("--others-count", type=int, default=200, help="others to count on (default: 200)")
    parser.add_argument("--segmentation-count", type=int, default=32, help="for both in segmentation (default: 32)")
    parser.add_argument("--rows", default="spic_", metavar="PREFIX", help="of the names of rows (default: all)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"| {' | '.join(COLUMNS)} |")
    print("|---" * len(COLUMNS) + "|")
    wanted_rows = [row for row in ROWS if row.name.startswith(args.rows)]
    at_hand = [row for row in wanted_rows if all(file.is_file() for file in files(args.data, row))]
    for cut in dict.fromkeys((row.task, row.split) for row in at_hand):
        rows = [row for row in at_hand if (row.task, row.split) == cut]
        few = args.segmentation_count if cut[0] == "seg" else 1 << 20
        size = spec(rows[0].name).size
        fitting, others = (
            choose(Selection(data, min(wanted, few)), size).pixels
            for data, wanted in ((args.pictures, args.count), (args.others, args.others_count))
        )
        seen = features(rows[0], [*fitting, *others])
        for row in rows:
            weights, table = files(args.data, row)
            print(line(row, table, weights, seen, len(fitting)), flush=True)


if __name__ == "__main__":
    main()
