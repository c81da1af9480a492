"""From a model's name to a PyTorch model with weights in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from encoders import checkpoint, registry
from encoders.checkpoint import Side
from encoders.model import SplitModel
from encoders.registry import ModelSpec
from encoders.seeded import seeded

SEED = 0


@dataclass(frozen=True)
class Loaded:
    """A model ready to run, and where its weights come from."""

    spec: ModelSpec
    model: SplitModel
    weights: str
    checkpoint_sha256: str | None = None


def load(name: str, side: Side = "encoder", file: Path | None = None) -> Loaded:
    """The named model with the weights of a checkpoint, or seeded ones where none is given."""
    spec = registry.spec(name)
    if file is None:
        return Loaded(spec, seeded(spec, SEED), f"seeded (seed {SEED}), not trained")
    model = spec.build(checkpoint.class_names(file)).eval()
    checkpoint.load(model, file, side)
    return Loaded(spec, model, f"checkpoint {file.name}", checkpoint.digest(file))
