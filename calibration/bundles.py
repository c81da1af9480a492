"""A bundle with new tables: the same graph, other prices for its symbols."""

from __future__ import annotations

import shutil
import statistics
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from calibration.choice import Pictures, Selection, choose
from calibration.refit import fitted as fit
from runtime import codecs, selftest
from runtime.bundle import MANIFEST, SELFTEST, seal, staging, write_tables
from runtime.encoder import Encoder
from runtime.errors import UsageError
from runtime.tables import Tables

#: Pictures, beside those that tables are fitted to, on which the saving is measured.
CHECKED = 256
#: Pictures that tables are fitted to, where nobody says how many: rare values need many.
FITTED = 1024


def to_learn_from(data: Selection, size: int, least: int = 0) -> tuple[Pictures, int]:
    """Pictures for tables, and how many of them: on those after that, what was learnt is checked."""
    wanted = max(data.count, least)
    chosen = choose(replace(data, count=wanted + CHECKED), size)
    found = len(chosen.pixels)
    return chosen, min(wanted, max(found - CHECKED, 3 * found // 4))


@dataclass(frozen=True)
class Refitted:
    """What came of it; bytes are payload bytes of a picture, on pictures that the tables were not fitted to."""

    table_id: str
    codec: str
    fitted: int
    checked: int
    bytes_before: float
    bytes_after: float
    skipped: tuple[str, ...]


def refit_bundle(bundle: Path, data: Selection, output: Path, codec: str = "context") -> Refitted:
    """Write a copy of an encoder bundle whose tables are fitted to its symbols on these pictures."""
    encoder = Encoder.open(bundle)
    manifest, before = encoder.bundle.manifest, encoder.bundle.tables
    if output.resolve() == bundle.resolve():
        raise UsageError(f"{output} would replace the bundle that it is made from; choose another -o")
    if before.hyper is not None:
        raise UsageError(f"{bundle} has a hyperprior, which chooses a table for each symbol: there is nothing to refit")
    chosen, fitted = to_learn_from(data, manifest.size)
    messages = [encoder.message(pixels) for pixels in chosen.pixels]
    if len(messages) < 4:
        raise UsageError(f"{data.data} has {len(messages)} pictures; fitting needs at least 4, better 64")
    symbols = [message.symbols for message in messages[:fitted]]
    kind, after = fit(codec, replace(before, contexts=None), symbols, manifest.codec)

    def mean_bytes(kind: str, tables: Tables) -> float:
        made = codecs.make(kind, tables, None)
        return statistics.fmean(len(made.encode(each).body) for each in messages[fitted:])

    sizes = mean_bytes(manifest.codec, before), mean_bytes(kind, after)
    result = Refitted(after.id.hex(), codec, fitted, len(messages) - fitted, *sizes, chosen.skipped)
    with staging(output) as directory:
        shutil.copytree(bundle, directory, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MANIFEST))
        write_tables(directory, after)
        with (directory / "README.md").open("a", encoding="utf-8") as card:
            card.write(f"\nIts tables were fitted to the symbols of {fitted} pictures; table id {result.table_id}.\n")
        provenance = {**chosen.provenance(), "count": fitted}
        changed = replace(manifest, codec=kind, calibration={**(manifest.calibration or {}), "tables": provenance})
        seal(directory, changed)
        picture = np.asarray(Image.open(directory / SELFTEST / selftest.PICTURE).convert("RGB"))
        selftest.write(directory, Encoder.open(directory), picture)
        seal(directory, changed)
    return result
