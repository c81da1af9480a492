"""The export, from a name to a verified bundle, top to bottom."""

from __future__ import annotations

from pathlib import Path

from encoders import registry
from encoders.loading import load
from export.card import card
from export.job import Job
from export.request import Exported, Request
from export.sides import SIDES
from export.targets import check_pair
from export.targets import spec as target_spec
from runtime.bundle import seal, staging, write_tables
from runtime.quiet import quiet


def export(request: Request) -> Exported:
    """Make one bundle; raises a SplitportError and leaves nothing behind if any step fails."""
    target, spec = target_spec(request.target), registry.spec(request.model)
    check_pair(target, request.precision, request.side, request.recipe)
    spec.check(request.side, request.target)
    nominal = spec.grid(spec.size)
    if request.size is not None:
        spec.grid(request.size)  # refuses a size that does not fit

    with quiet(request.debug):
        loaded = load(request.model, request.side, request.checkpoint, request.weights, request.parts)
    with staging(request.destination) as directory:
        write_tables(directory, loaded.model.tables(nominal))
        with quiet(request.debug):
            manifest, notes = SIDES[request.side](Job(request, loaded, target, directory))
        (directory / "README.md").write_text(card(loaded.spec, manifest), encoding="utf-8")
        seal(directory, manifest)
        graph_files = [p for p in directory.iterdir() if p.stem == Path(manifest.graph).stem]
        file_bytes = sum(p.stat().st_size for p in graph_files)
    further = loaded.model.notes(manifest.size) if request.side == "encoder" else ()
    return Exported(request.destination, manifest, file_bytes, (*notes, *further))
