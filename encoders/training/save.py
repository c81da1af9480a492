"""Write trained weights: safetensors that say what they are, in the key layout of the published checkpoints."""

from __future__ import annotations

import io
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
    """The averaged weights of a run, its recipe, its task and what was measured on held-out pictures.

    A ``.pt`` file has the layout of the published ones: a dictionary with the state dict under ``model``.
    """
    tensors = {
        name: (tensor.half() if half and tensor.ndim == 4 else tensor).cpu().contiguous()
        for name, tensor in run.average.model.state_dict().items()
    }
    described = {
        "model": run.spec.name,
        "task": json.dumps(asdict(run.task)),
        "recipe": json.dumps(asdict(run.recipe)),
        "facts": json.dumps(facts),
    }
    if path.suffix == ".pt":
        content = io.BytesIO()
        torch.save({**described, "model": tensors, "epoch": run.done}, content)
        write_atomically(path, content.getvalue())
    else:
        full = {name: tensor for name, tensor in tensors.items() if tensor.numel()}  # empty ones fail to align
        write_atomically(path, save(full, described))
