"""Trained weights that ship, each with a card beside it that says what they are and how they were made.

They are for demonstrations: small receivers for the 30 classes of a Caltech-101 subset.
"""

from __future__ import annotations

from pathlib import Path

from encoders.registry import ModelSpec
from runtime.errors import UnknownName

#: The name that asks every model for weights that are not trained.
SEEDED = "seeded"
_FOLDER = Path(__file__).parent


def names(spec: ModelSpec) -> tuple[str, ...]:
    """What ``--weights`` takes for this model, the default first."""
    return (*spec.weights, SEEDED)


def find(spec: ModelSpec, name: str | None = None) -> Path | None:
    """The file of the named weights, of the model's default ones without a name; None for seeded ones."""
    chosen = names(spec)[0] if name is None else name
    if chosen not in names(spec):
        raise UnknownName(f"weights of {spec.name}", chosen, names(spec))
    return None if chosen == SEEDED else _FOLDER / f"{spec.name}-{chosen}.safetensors"
