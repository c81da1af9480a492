"""Write trained weights: safetensors that say what they are, in the key layout of the published checkpoints."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from encoders.training.recipe import Run
from runtime.files import write_atomically


def round_filters(model: torch.nn.Module) -> None:
    """Round every filter to what half precision holds, in place, so that what is measured is what is stored.

    The prior and the norms keep their precision: tables follow from the one, and the other's variances can overflow.
    """
    for parameter in model.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.half().float()


def write(path: Path, run: Run, facts: dict[str, Any], half: bool) -> None:
    """The averaged weights of a run, its recipe, its classes and what was measured on held-out pictures."""
    tensors = {
        name: (tensor.half() if half and tensor.ndim == 4 else tensor).contiguous()
        for name, tensor in run.average.model.state_dict().items()
        if tensor.numel()
    }
    metadata = {
        "model": run.spec.name,
        "classes": json.dumps(list(run.classes)),
        "recipe": json.dumps(asdict(run.recipe)),
        "facts": json.dumps(facts),
    }
    write_atomically(path, save(tensors, metadata))
