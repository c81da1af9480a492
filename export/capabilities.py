"""What can be exported to what, drawn from the registries so that it cannot go stale."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from encoders.registry import MODELS, ModelSpec
from encoders.weights import names
from runtime.engines import ENGINES


def capability_table() -> str:
    """All models, what they cannot be exported to, and targets with what each precision means there; Markdown."""
    return "\n\n".join([models_table(), *_refused(MODELS.values()), targets_table()])


def models_table() -> str:
    """One line a model."""
    rows = [
        ("model", "system", "picture", "split point", "latent", "parameters", "encoder bits", "MACs", "codec",
         "weights", "what it is")
    ]  # fmt: skip
    for spec in MODELS.values():
        latent = "x".join(map(str, (spec.latent_channels, *spec.grid(spec.size))))
        costs = (_number(spec.parameters), _number(spec.bits), _millions(spec.macs))
        rows.append(
            (spec.name, spec.system, f"{spec.size}x{spec.size}", spec.split, latent, *costs, spec.codec,
             ", ".join(names(spec)), spec.summary)
        )  # fmt: skip
    return _markdown(rows)


def families_table() -> str:
    """One line for the models of one file."""
    families: dict[tuple[str, str], list[ModelSpec]] = {}
    for spec in MODELS.values():
        families.setdefault((spec.system, spec.module), []).append(spec)
    rows = [("system", "models", "picture", "codec", "server gives")]
    order = list(dict.fromkeys(system for system, _ in families))
    for (system, _), specs in sorted(families.items(), key=lambda family: order.index(family[0][0])):
        first, last = specs[0].name, specs[-1].name
        named = f"{first} ... {last}: {len(specs)}" if len(specs) > 3 else ", ".join(spec.name for spec in specs)
        pictures = ", ".join(dict.fromkeys(str(spec.size) for spec in specs))
        codecs = ", ".join(dict.fromkeys(spec.codec for spec in specs))
        rows.append((system, named, pictures, codecs, ", ".join(dict.fromkeys(spec.task for spec in specs))))
    return _markdown(rows)


def targets_table() -> str:
    """One line a target."""
    from export.targets import TARGETS

    rows = [("target", "file", "sides", "engine", "precisions")]
    for target in TARGETS.values():
        engines = ", ".join(e.name for e in ENGINES.values() if target.name in e.targets)
        precisions = "; ".join(f"**{name}** {meaning}" for name, meaning in target.precisions.items())
        rows.append((target.name, target.file, ", ".join(target.sides), engines, precisions))
    return _markdown(rows)


def _refused(specs: Iterable[ModelSpec]) -> list[str]:
    """What models cannot be exported to: those of one reason together."""
    found: dict[tuple[str, str], list[str]] = {}
    for spec in specs:
        for what, why in spec.refused.items():
            found.setdefault((what, why), []).append(spec.name)
    return [f"No {what} export of {', '.join(models)}: {why}." for (what, why), models in found.items()]


def _number(count: int | None) -> str:
    return "" if count is None else f"{count:,}"


def _millions(count: int | None) -> str:
    return "" if count is None else f"{count / 1e6:,.1f} M"


def _markdown(rows: Sequence[tuple[str, ...]]) -> str:
    head, *body = rows
    lines = [head, tuple("---" for _ in head), *body]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)
