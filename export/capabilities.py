"""What can be exported to what, drawn from the registries so that it cannot go stale."""

from __future__ import annotations

from collections.abc import Sequence

from encoders.registry import MODELS
from encoders.weights import names
from runtime.engines import ENGINES


def capability_table() -> str:
    """Two Markdown tables: models, and targets with what each precision means there."""
    from export.targets import TARGETS

    models = [("model", "system", "picture", "latent", "codec", "weights", "what it is")]
    for spec in MODELS.values():
        height, width = spec.grid(spec.size)
        latent = f"{spec.latent_channels}x{height}x{width}"
        shipped = ", ".join(names(spec))
        models.append((spec.name, spec.system, f"{spec.size}x{spec.size}", latent, spec.codec, shipped, spec.summary))
    targets = [("target", "file", "sides", "engine", "precisions")]
    for target in TARGETS.values():
        engines = ", ".join(e.name for e in ENGINES.values() if target.name in e.targets)
        precisions = "; ".join(f"**{name}** {meaning}" for name, meaning in target.precisions.items())
        targets.append((target.name, target.file, ", ".join(target.sides), engines, precisions))
    return f"{_markdown(models)}\n\n{_markdown(targets)}"


def _markdown(rows: Sequence[tuple[str, ...]]) -> str:
    head, *body = rows
    lines = [head, tuple("---" for _ in head), *body]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)
