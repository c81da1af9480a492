"""From a model's name to a PyTorch model with weights in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from encoders import checkpoint, registry
from encoders import weights as shipped
from encoders.checkpoint import Side
from encoders.model import SplitModel
from encoders.registry import ModelSpec
from encoders.seeded import seeded

SEED = 0


@dataclass(frozen=True)
class Loaded:
    """A model ready to run, and where its weights come from, in words."""

    spec: ModelSpec
    model: SplitModel
    weights: str
    checkpoint_sha256: str | None = None


def load(
    name: str,
    side: Side = "encoder",
    file: Path | None = None,
    weights: str | None = None,
    parts: Mapping[str, Path] | None = None,
) -> Loaded:
    """The named model with the weights of a checkpoint file, or with those that go by a name.

    With neither, the model's default weights: the first that ship for it, or seeded ones where none do. ``parts`` are
    files for what the model reads beside its checkpoint.
    """
    spec = registry.spec(name)
    files = {**(parts or {}), **({"checkpoint": file} if file else {})}
    if spec.parts and files:
        assembled, origin = spec.assemble(files, side)
        return Loaded(spec, assembled, origin, checkpoint.digest(file) if file else None)
    origin = f"checkpoint {file.name}" if file else ""
    if file is None:
        file = shipped.find(spec, weights)
        if file is None:
            return Loaded(spec, seeded(spec, SEED), f"seeded (seed {SEED}), not trained")
        origin = f"{file.stem}, shipped"
    model = spec.build(checkpoint.task(file)).eval()
    checkpoint.load(model, file, side)
    return Loaded(spec, model, origin, checkpoint.digest(file))
