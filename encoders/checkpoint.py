"""Load checkpoints in the layouts that the original projects wrote, and nothing that could run code.

A file may be a bare state dict, a dict with the state dict under ``model`` (published files, training's own and its
EMA twin), or safetensors. It may hold the encoder alone. Names of the entropy bottleneck's tensors come in two
spellings, and its CDF buffers are empty or filled depending on when the file was saved; both are understood.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import pickle
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from encoders.model import SplitModel, Task
from runtime.errors import SplitportError

Side = Literal["encoder", "receiver"]
State = dict[str, torch.Tensor]

#: Constants and counters that a module makes itself: a file without them is complete.
_OPTIONAL = re.compile(
    r"(num_batches_tracked|\._offset|\._quantized_cdf|\._cdf_length|\.target|bound|\.pedestal|\.scale_table|_index)$"
)
#: CompressAI 1.2.7 renamed _matrix0 to matrices.0, _bias0 to biases.0 and _factor0 to factors.0.
_SPELLINGS = {"matrix": "matrices", "bias": "biases", "factor": "factors"}


class CheckpointError(SplitportError, ValueError):
    """A file that cannot be this model's checkpoint; the message lists what is wrong with it."""


def load(model: SplitModel, path: Path, side: Side) -> None:
    """Fill the model from a file; everything that the side needs must be there, and nothing may be foreign."""
    fill(model, read_state(path), side, path.name)


def fill(model: SplitModel, state: State, side: Side, origin: str) -> None:
    """Fill the model from a state dict; CheckpointError lists the keys that keep it from fitting."""
    own = model.state_dict()
    state = _spell_like(own, _with_prefix(own, model.translate(state)))
    needed = [k for k in own if k.startswith(_keys(model, side)) and not _OPTIONAL.search(k)]
    unexpected = [k for k in state if k not in own]
    misshaped = [
        f"{k} {tuple(v.shape)} instead of {tuple(own[k].shape)}"
        for k, v in state.items()
        if k in own and v.shape != own[k].shape and not _is_cdf(k)
    ]
    missing = [k for k in needed if k not in state]
    unusable = [k for k, v in state.items() if not _is_finite(v)]
    lists = {"missing": missing, "unexpected": unexpected, "mis-shaped": misshaped, "not finite": unusable}
    if parts := [f"{len(keys)} {what}: {_shorten(keys)}" for what, keys in lists.items() if keys]:
        raise CheckpointError(f"{origin} does not fit this model's {side}: {'; '.join(parts)}")
    for key in filter(_is_cdf, state):
        _resize_buffer(model, key, state[key])
    model.load_state_dict(state, strict=False)


def digest(path: Path) -> str:
    """SHA-256 of the file, for the manifest."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def task(path: Path) -> Task | None:
    """The task of a file that this project trained; None for any other file."""
    if path.suffix == ".safetensors":
        return _task(metadata(path).get("task"), path.name)
    content = read_file(path)
    return _task(content.get("task"), path.name) if isinstance(content, Mapping) else None


def metadata(path: Path) -> dict[str, str]:
    """What a safetensors file says of itself."""
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as why:
        raise CheckpointError(f"{path.name} is not an intact safetensors file: {why}") from why


def _task(described: object, origin: str) -> Task | None:
    if described is None:
        return None
    try:
        fields = json.loads(str(described))
        return Task(tuple(map(str, fields["classes"])), str(fields["tail"]))
    except (ValueError, KeyError, TypeError) as why:
        raise CheckpointError(f"{origin} describes its task in a way that is not understood: {why!r}") from why


def read_state(path: Path) -> State:
    """The state dict inside a file, whatever it is wrapped in."""
    return _unwrap(read_file(path), path.name)


def read_file(path: Path) -> Any:
    """What a file holds."""
    if not path.is_file():
        raise CheckpointError(f"{path} is not a file; give the checkpoint itself with --checkpoint")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as why:
            raise CheckpointError(f"{path.name} is not an intact safetensors file: {why}") from why
    # Training scripts keep NumPy scalars among their results, and the options they were called with: types that hold
    # values and do nothing.
    numbers = [np.dtype, np.ndarray, type(np.dtype("f8")), type(np.dtype("f4")), type(np.dtype("i8"))]
    scalar: Any = np._core.multiarray.scalar  # type: ignore[attr-defined]
    with torch.serialization.safe_globals([scalar, *numbers, argparse.Namespace]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as why:
            line = str(why).splitlines()[0]
            raise CheckpointError(f"{path.name} holds objects that are not loaded for safety: {line}") from why
        except Exception as why:  # a damaged pickle makes its reader raise anything
            raise CheckpointError(
                f"{path.name} is truncated or not a PyTorch checkpoint; download it again ({_first_line(why)})"
            ) from why


def _unwrap(content: Any, origin: str) -> State:
    for key in ("model", "state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{origin} holds no state dict, neither bare nor under 'model'")
    state = {str(k).removeprefix("module."): v for k, v in content.items() if isinstance(v, torch.Tensor)}
    if not state:
        raise CheckpointError(f"{origin} holds no tensors; its keys are {_shorten(map(str, content))}")
    return state


def _keys(model: SplitModel, side: Side) -> tuple[str, ...]:
    return model.encoder_keys if side == "encoder" else model.receiver_keys


def _with_prefix(own: Iterable[str], state: State) -> State:
    """Accept a file of the bottleneck alone, saved without the prefix it has inside the model."""
    prefix = "bottleneck_layer."
    if any(k.startswith(prefix) for k in state) or not any(k.startswith(prefix) for k in own):
        return state
    own = set(own)
    return {prefix + k if prefix + k in own or k.startswith("entropy_bottleneck.") else k: v for k, v in state.items()}


def _spell_like(own: Mapping[str, torch.Tensor], state: State) -> State:
    """Rename the entropy bottleneck's tensors to the spelling of the installed CompressAI."""

    def rename(key: str) -> str:
        if key in own:
            return key
        key = re.sub(r"\._(matrices|biases|factors)\.(\d)$", r".\1.\2", key)  # as the files of its model zoo have it
        for old, new in _SPELLINGS.items():
            for pattern, form in ((rf"\._{old}(\d)$", rf".{new}.\1"), (rf"\.{new}\.(\d)$", rf"._{old}\1")):
                if (other := re.sub(pattern, form, key)) in own:
                    return other
        return key

    return {rename(k): v for k, v in state.items()}


def _is_cdf(key: str) -> bool:
    return key.endswith(("._offset", "._quantized_cdf", "._cdf_length", ".scale_table"))


def _is_finite(tensor: torch.Tensor) -> bool:
    """Whether it holds plain real numbers; the NaN of a diverged training would fail late and obscurely."""
    plain = tensor.layout is torch.strided and tensor.device.type == "cpu"
    return plain and not (tensor.is_quantized or tensor.is_complex()) and bool(torch.isfinite(tensor).all())


def _resize_buffer(model: torch.nn.Module, key: str, like: torch.Tensor) -> None:
    owner, _, name = key.rpartition(".")
    module = model.get_submodule(owner)
    module.register_buffer(name, torch.empty_like(like))


def _shorten(keys: Iterable[str], most: int = 4) -> str:
    listed = list(keys)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")


def _first_line(why: BaseException) -> str:
    return (str(why).splitlines() or [type(why).__name__])[0][:120]
