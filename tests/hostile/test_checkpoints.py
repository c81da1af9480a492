"""Files that are not this model's checkpoint: one CheckpointError of one line, and no code in them runs."""

from __future__ import annotations

import io
import os
import pickle
import random
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save as save_safetensors

from encoders import checkpoint, registry
from encoders.checkpoint import CheckpointError
from encoders.model import SplitModel

WEIGHT = "bottleneck_layer.encoder.0.weight"
State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def model() -> SplitModel:
    """A model to load into; only failing loads and whole ones follow, so tests may share it."""
    return registry.spec("ours_n0").build()


@pytest.fixture
def state(model: SplitModel) -> State:
    """A complete state dict of its encoder."""
    return {k: v.clone() for k, v in model.state_dict().items() if k.startswith(model.encoder_keys)}


def as_bytes(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


@pytest.fixture
def refused(model: SplitModel, tmp_path: Path) -> Callable[..., str]:
    """Loads bytes as a checkpoint file and returns the message of the error that they must give."""

    def load(content: bytes, suffix: str = ".pt") -> str:
        path = tmp_path / f"file{suffix}"
        path.write_bytes(content)
        with pytest.raises(CheckpointError) as caught:
            checkpoint.load(model, path, "encoder")
        message = str(caught.value)
        assert message.startswith(path.name) and "\n" not in message
        return message

    return load


def test_intact(model: SplitModel, state: State, tmp_path: Path) -> None:
    """The file that the others are broken versions of loads, and fills the model."""
    state[WEIGHT] += 1
    for suffix, content in ((".pt", as_bytes({"model": state})), (".safetensors", save_safetensors(state))):
        model.get_parameter(WEIGHT).data.zero_()
        (tmp_path / f"file{suffix}").write_bytes(content)
        checkpoint.load(model, tmp_path / f"file{suffix}", "encoder")
        assert torch.equal(model.get_parameter(WEIGHT), state[WEIGHT])


def test_not_a_file(model: SplitModel, tmp_path: Path) -> None:
    """A missing file and a directory are named."""
    for path in (tmp_path / "absent.pt", tmp_path):
        with pytest.raises(CheckpointError, match=re.escape(f"{path} is not a file")):
            checkpoint.load(model, path, "encoder")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_truncated_random_and_empty(refused: Callable[..., str], state: State, suffix: str) -> None:
    """Cut anywhere, nothing in it, or noise: said to be damaged."""
    whole = as_bytes(state) if suffix == ".pt" else save_safetensors(state)
    noise = random.Random(0).randbytes(3000)
    for content in (
        b"",
        noise,
        b"PK\x03\x04" + noise,
        *(whole[: len(whole) * i // 7] for i in range(1, 7)),
        whole[:-1],
    ):
        assert re.search("truncated|not an intact|for safety", refused(content, suffix))


def test_damaged_pickle(model: SplitModel, state: State, tmp_path: Path) -> None:
    """Random damage to the pickle inside gives a load or a CheckpointError, whatever its reader raises."""
    whole, dice = as_bytes(state), random.Random(0)
    path = tmp_path / "file.pt"
    with zipfile.ZipFile(io.BytesIO(whole)) as source:
        parts = {name: source.read(name) for name in source.namelist()}
    (name,) = (name for name in parts if name.endswith("data.pkl"))
    outcomes = set()
    for _ in range(60):
        damaged = bytearray(parts[name])
        for _ in range(3):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        with zipfile.ZipFile(path, "w") as archive:
            for other, content in parts.items():
                archive.writestr(other, bytes(damaged) if other == name else content)
        try:
            checkpoint.load(model, path, "encoder")
        except CheckpointError as why:
            outcomes.add(type(why.__cause__))
    assert len(outcomes) > 2  # the damage did reach different places


class Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.witness),)


@pytest.mark.parametrize("how", ["torch", "plain pickle", "inside the dict"])
def test_malicious_pickle(refused: Callable[..., str], state: State, tmp_path: Path, how: str) -> None:
    """A pickle that runs code is refused without running it."""
    witness = tmp_path / "witness"
    bomb = Malicious(witness)
    content = {
        "torch": as_bytes(bomb),
        "plain pickle": pickle.dumps(bomb, protocol=2),
        "inside the dict": as_bytes({"model": state, "epoch": bomb}),
    }[how]
    assert "not loaded for safety" in refused(content)
    assert not witness.exists()
    pickle.loads(pickle.dumps(bomb))
    assert witness.exists()  # it would have


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "no state dict"),
        ([1, 2], "no state dict"),
        (torch.zeros(3), "no state dict"),
        ("text", "no state dict"),
        ({"epoch": 3, "loss": 0.5}, "no tensors; its keys are epoch, loss"),
        ({"model": {"epoch": 3}}, "no tensors; its keys are epoch"),
    ],
    ids=["empty dict", "list", "tensor", "text", "numbers", "wrapped numbers"],
)
def test_no_weights(refused: Callable[..., str], content: object, said: str) -> None:
    """A file of something else says what it holds."""
    assert said in refused(as_bytes(content))


def test_foreign_model(refused: Callable[..., str]) -> None:
    """A stock ResNet's file lists what it lacks and what it should not have."""
    from torchvision.models import resnet18

    message = refused(as_bytes(resnet18(weights=None).state_dict()))
    assert re.search(r"\d+ missing: bottleneck_layer\.\S+, .* and \d+ more; \d+ unexpected: conv1\.weight", message)


def test_lists_each_kind_of_misfit(refused: Callable[..., str], state: State) -> None:
    """Missing, unexpected, mis-shaped and non-finite keys appear in one message, under their names."""
    state["foreign.weight"] = torch.zeros(1)
    state["bottleneck_layer.encoder.2.weight"] = torch.zeros(2, 3)
    state["bottleneck_layer.encoder.2.bias"][5] = float("nan")
    del state[WEIGHT]
    message = refused(as_bytes(state))
    for part in (
        f"1 missing: {WEIGHT}",
        "1 unexpected: foreign.weight",
        "1 mis-shaped: bottleneck_layer.encoder.2.weight (2, 3) instead of (64, 128, 1, 1)",
        "1 not finite: bottleneck_layer.encoder.2.bias",
    ):
        assert part in message


@pytest.mark.parametrize("how", ["complex", "sparse", "infinite"])
def test_numbers_that_no_layer_takes(refused: Callable[..., str], state: State, how: str) -> None:
    """Tensors of the right shape that cannot be weights are named, not converted."""
    weight = state[WEIGHT]
    change = {
        "complex": lambda: weight.to(torch.complex64),
        "sparse": weight.to_sparse,
        "infinite": lambda: weight / 0,
    }
    state[WEIGHT] = change[how]()
    assert f"1 not finite: {WEIGHT}" in refused(as_bytes(state))
