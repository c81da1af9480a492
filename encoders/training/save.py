"""Write trained weights: safetensors that say what they are, in the key layout of the published checkpoints."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import save

from encoders.training.recipe import Run
from runtime.files import write_atomically


def write(path: Path, run: Run, facts: dict[str, Any]) -> None:
    """The averaged weights of a run, its recipe, its classes and what was measured on held-out pictures."""
    tensors = {name: tensor.contiguous() for name, tensor in run.average.model.state_dict().items() if tensor.numel()}
    metadata = {
        "model": run.spec.name,
        "classes": json.dumps(list(run.classes)),
        "recipe": json.dumps(asdict(run.recipe)),
        "facts": json.dumps(facts),
    }
    write_atomically(path, save(tensors, metadata))
