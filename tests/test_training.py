"""Training end to end on drawn pictures: it learns, it resumes, and what it writes exports and predicts."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest
import torch
from PIL import Image

from encoders.checkpoint import task
from encoders.commands import main
from encoders.drawn import draw
from encoders.model import Task
from encoders.registry import spec
from encoders.training.data import Photographs
from encoders.training.recipe import Recipe, Run, Trainee
from export import Request, export
from runtime import Encoder, Receiver
from runtime.errors import UsageError
from runtime.pictures import labelled


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes that colour tells apart."""
    root = tmp_path_factory.mktemp("pictures")
    for index, name in enumerate(("red", "blue")):
        (root / name).mkdir()
        for seed in range(24):
            pixels = draw(100 * index + seed, 72)
            pixels[..., 2 if name == "red" else 0] //= 8
            Image.fromarray(pixels).save(root / name / f"{seed}.png")
    return root


def arguments(folder, out, *more):
    words = ["train", "--model", "ours_n0", "--data", str(folder), "--lmbda", "0.1", "--size", "64", "--out", str(out)]
    return [*words, "--batch", "8", "--hold-out", "0.25", *more]


@pytest.fixture(scope="module")
def weights(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "colours.safetensors"
    assert main(arguments(folder, out, "--epochs", "12")) == 0
    return out


def test_it_learns_and_says_what_it_did(weights):
    from safetensors import safe_open

    with safe_open(weights, framework="pt") as file:
        metadata = file.metadata()
    facts, recipe = json.loads(metadata["facts"]), json.loads(metadata["recipe"])
    assert facts["held_out"] == 12 and facts["trained_on"] == 36
    assert facts["held_out_top1"] >= 0.9 and 0 < facts["held_out_estimated_bpp"] < 20
    assert recipe["seed"] == 0 and recipe["lmbda"] == 0.1 and metadata["model"] == "ours_n0"
    assert task(weights) == Task(("blue", "red"), "small")
    assert [p.name for p in weights.parent.iterdir()] == [weights.name]


def test_trained_weights_export_on_both_sides_and_predict(weights, folder, tmp_path):
    """Real payloads, through the runtime: the classes come out by name."""
    common = {"checkpoint": weights, "size": 64}
    sender = export(Request("ours_n0", "onnx", output=tmp_path / "sender", **common)).path
    receiver = export(Request("ours_n0", "onnx", side="receiver", output=tmp_path / "receiver", **common)).path
    encoder, opened = Encoder.open(sender), Receiver.open(receiver)
    right = 0
    for name in ("red", "blue"):
        for file in sorted((folder / name).iterdir()):
            right += opened.predict(encoder.encode(file)).best == name
    assert right >= 44
    assert {name for name, _ in opened.predict(encoder.encode(file)).ranked} == {"red", "blue"}


def test_a_broken_off_run_goes_on_where_it_was(folder, tmp_path):
    source = labelled(folder)
    data = Photographs(source, 64)

    def run(epochs_now: int, state):
        made = Run(Recipe("ours_n0", 0.1, epochs=3, batch=16), spec("ours_n0"), Task(source.classes), state)

        class Stop(Exception):
            pass

        def each(progress):
            if progress.epoch == epochs_now:
                raise Stop

        with contextlib.suppress(Stop):
            made.train(data, each)
        return made

    whole = run(3, tmp_path / "whole.partial")
    run(1, tmp_path / "parts.partial")
    parts = run(3, tmp_path / "parts.partial")
    assert [p.epoch for p in parts.history] == [1, 2, 3]
    for a, b in zip(whole.average.parameters(), parts.average.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-4)


def test_a_partial_run_of_another_recipe_is_refused(folder, tmp_path):
    own = Task(labelled(folder).classes)
    state = tmp_path / "run.partial"
    Run(Recipe("ours_n0", 0.1), spec("ours_n0"), own, state)._save()
    with pytest.raises(UsageError, match="another run"):
        Run(Recipe("ours_n0", 0.2), spec("ours_n0"), own, state)


def test_classifier_sees_rounded_latents_and_the_rate_sees_noise():
    torch.manual_seed(0)
    trainee = Trainee(spec("ours_n0"), Task(("a", "b"))).train()
    seen = []
    trainee.model.tail.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    pixels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    first, second = (trainee(pixels, False).bpp for _ in range(2))
    median = trainee.prior.quantiles[:, 0, 1].detach().view(1, -1, 1, 1)
    assert torch.allclose(seen[0] - median, (seen[0] - median).round(), atol=1e-5)
    assert first != second, "the rate is estimated under noise"
    seen_by_losses = trainee(pixels, False)
    (seen_by_losses.logits.sum() + seen_by_losses.bpp).backward()
    assert trainee.model.encoder[0].weight.grad.abs().sum() > 0


def test_splits_are_repeatable_disjoint_and_balanced(folder):
    source = labelled(folder)
    kept, held = source.split(0.25, seed=5)
    again = source.split(0.25, seed=5)[1]
    assert held == again and not set(kept.items) & set(held.items)
    assert len(kept.items) + len(held.items) == 48 and np.bincount([i for _, i in held.items]).tolist() == [6, 6]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--model", "our_n0"], "did you mean 'ours_n0'"),
        (["--out", "weights.bin"], "must end in .safetensors"),
        (["--hold-out", "1.5"], "--hold-out lies between 0 and 1"),
        (["--size", "65"], "multiple of 8"),
        (["--data", "nowhere"], "is not a folder"),
        (["--batch", "64"], "do not fill a batch"),
    ],
)
def test_bad_requests_leave_nothing_behind(change, message, folder, tmp_path, capsys):
    assert main(arguments(folder, tmp_path / "w.safetensors", "--epochs", "1", *change)) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and message in error[0]
    assert list(tmp_path.iterdir()) == []
