"""Tables and codec of an encoder in real numbers, fitted to pictures where there are some."""

from __future__ import annotations

from dataclasses import replace

from calibration.bundles import FITTED, to_learn_from
from calibration.refit import fitted
from export import drift
from export.job import Job
from runtime.bundle import Manifest, write_tables
from runtime.encoder import Encoder
from runtime.errors import UsageError


def fit(job: Job, draft: Manifest, encoder: Encoder) -> tuple[Manifest, tuple[str, ...]]:
    """Replace the tables in the job's directory, if that was asked for; also tell what it saves."""
    wanted = job.request.calibration
    if job.loaded.spec.codec == "hyperprior" and job.request.codec == "context":
        raise UsageError(f"{draft.model} has a hyperprior, which chooses a table for each symbol: leave --codec out")
    as_they_are = job.request.coding == "plain" and not (wanted and draft.codec == "affine")
    if as_they_are or job.loaded.spec.codec == "hyperprior":
        return draft, ()
    if wanted is None:
        raise UsageError("--codec context is fitted to an encoder's symbols: give pictures with --calibration")
    chosen, count = to_learn_from(wanted, job.size, FITTED)
    if count < 3:
        few = f"{wanted.data} has {len(chosen.pixels)} pictures; contexts need at least 4, better 64"
        if job.request.codec:
            raise UsageError(few)
        return draft, (f"  {few}: coded {_unfitted(draft)}",)
    messages = [encoder.message(pixels) for pixels in chosen.pixels]
    symbols = [message.symbols for message in messages[:count]]
    kind, tables = fitted(job.request.coding, encoder.bundle.tables, symbols, draft.codec)
    others = messages[count:]
    before = drift.mean_bytes(encoder.bundle.tables, draft.codec, others)
    after = drift.mean_bytes(tables, kind, others)
    write_tables(job.directory, tables)
    provenance = {**(draft.calibration or chosen.provenance()), "fitted": count}
    fitted_ones = "contexts" if tables.contexts else "tables"
    note = (
        f"  payload {before:.1f} B {_unfitted(draft)}, {after:.1f} B with {fitted_ones} fitted to {count} pictures "
        f"({100 * (1 - after / before):.1f} % less), on {len(others)} others"
    )
    return replace(draft, codec=kind, calibration=provenance), (note,)


def _unfitted(draft: Manifest) -> str:
    """How payloads are written with the tables that the model comes with."""
    return "as raw bytes" if draft.codec == "affine" else "with the prior's tables"
