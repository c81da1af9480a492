"""The paper's receiver in training: started and guided by a trained ResNet-50, saved as the published files are."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image
from torchvision.models import resnet50

from encoders.checkpoint import read_file, task
from encoders.commands import main
from encoders.drawn import draw
from encoders.loading import load
from encoders.model import Task
from encoders.registry import spec
from encoders.training.recipe import Recipe, Run
from encoders.training.teacher import Teacher
from runtime.errors import UnknownName, UsageError
from tests.conftest import SHARED

CLASSES = ("blue", "red")
GOLDEN = SHARED / "golden" / "ours_n4" / "checkpoint.pt"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    for index, name in enumerate(CLASSES):
        (root / name).mkdir()
        for seed in range(6):
            Image.fromarray(draw(100 * index + seed, 72)).save(root / name / f"{seed}.png")
    return root


@pytest.fixture(scope="module")
def teacher_file(tmp_path_factory):
    """Torchvision's own layout, with two classes."""
    torch.manual_seed(7)
    path = tmp_path_factory.mktemp("teacher") / "resnet50.pth"
    torch.save(resnet50(weights=None, num_classes=2).state_dict(), path)
    return path


def train(folder, out, *more):
    words = ["train", "--model", "ours_n0", "--data", str(folder), "--lmbda", "0.1", "--size", "64", "--out", str(out)]
    return main([*words, "--tail", "resnet50", "--epochs", "1", "--batch", "4", "--hold-out", "0.3", *more])


def test_saved_file_has_the_published_layout(folder, teacher_file, tmp_path):
    """Every key under ``model``, as the original loader wants them: bottleneck, then ResNet-50 without its stem."""
    out = tmp_path / "lmb0.1.pt"
    assert train(folder, out, "--teacher", str(teacher_file)) == 0
    content = read_file(out)
    stock = [k for k in resnet50(weights=None).state_dict() if k.startswith(("layer2.", "layer3.", "layer4.", "fc."))]
    own = set(content["model"])
    assert {k for k in own if not k.startswith("bottleneck_layer.")} == set(stock) and len(stock) == 254
    assert json.loads(content["recipe"])["taught"] and task(out) == Task(CLASSES, "resnet50")
    assert all(v.dtype == torch.float32 for v in content["model"].values() if v.is_floating_point())
    loaded = load("ours_n0", "receiver", out)
    assert loaded.model.class_names == CLASSES
    assert loaded.model.receive(torch.zeros(1, 64, 8, 8)).shape == (1, 2)


@pytest.mark.skipif(not GOLDEN.exists(), reason="needs the original's checkpoint in ../shared")
def test_bottleneck_keys_are_the_originals(folder, tmp_path):
    out = tmp_path / "lmb0.1.pt"
    assert train(folder, out, "--model", "ours_n4") == 0
    own = {k for k in read_file(out)["model"] if k.startswith("bottleneck_layer.")}
    assert own == set(read_file(GOLDEN)["model"])


def test_safetensors_of_the_same_run_loads_the_same(folder, teacher_file, tmp_path):
    for name in ("a.pt", "b.safetensors"):
        assert train(folder, tmp_path / name, "--teacher", str(teacher_file)) == 0
    first, second = (load("ours_n0", "receiver", tmp_path / name).model for name in ("a.pt", "b.safetensors"))
    latent = torch.randn(1, 64, 8, 8)
    assert torch.allclose(first.receive(latent), second.receive(latent), atol=1e-3)


def test_enc_variants_keep_the_teachers_tail_to_the_bit(folder, teacher_file, tmp_path):
    out = tmp_path / "enc.pt"
    assert train(folder, out, "--model", "ours_n0_enc", "--teacher", str(teacher_file)) == 0
    stock, trained = torch.load(teacher_file), read_file(out)["model"]
    for name, tensor in trained.items():
        if not name.startswith("bottleneck_layer."):
            assert torch.equal(tensor, stock[name]), name
    assert train(folder, tmp_path / "plain.pt", "--teacher", str(teacher_file)) == 0
    moved = read_file(tmp_path / "plain.pt")["model"]
    assert not torch.equal(moved["layer2.0.conv1.weight"], stock["layer2.0.conv1.weight"])


def test_loss_is_the_papers(teacher_file):
    """Half cross-entropy, half divergence from the teacher, and the mean squared distance of all four stages."""
    teacher = Teacher(teacher_file, 2)
    picture = torch.randn(3, 3, 64, 64)
    stages, opinion = teacher(picture)
    task_loss = torch.tensor(0.7)
    assert teacher.loss(picture, opinion, stages, task_loss).item() == pytest.approx(0.35, abs=1e-5)
    logits = torch.tensor([[1.0, -1.0], [0.5, 0.0], [0.0, 2.0]])
    p, log_q = opinion.softmax(1), logits.log_softmax(1)
    divergence = (p * (p.log() - log_q)).sum() / 3
    shifted = [stage + 0.1 * (index + 1) for index, stage in enumerate(stages)]
    expected = 0.35 + 0.5 * divergence.item() + sum((0.1 * k) ** 2 for k in (1, 2, 3, 4))
    assert teacher.loss(picture, logits, shifted, task_loss).item() == pytest.approx(expected, rel=1e-4)


def test_requests_that_cannot_be_met(folder, teacher_file, tmp_path):
    with pytest.raises(UsageError, match="must be a ResNet-50 for 3 classes; it has 2 classes"):
        Teacher(teacher_file, 3)
    other = tmp_path / "other.pth"
    torch.save({"fc.weight": torch.zeros(2, 5)}, other)
    with pytest.raises(UsageError, match=r"not torchvision's ResNet-50"):
        Teacher(other, 2)
    with pytest.raises(UsageError, match="give that with --teacher"):
        Run(Recipe("ours_n0_enc", 1.0), spec("ours_n0_enc"), Task(CLASSES, "resnet50"), tmp_path / "state")
    with pytest.raises(UnknownName, match="unknown tail 'resnet5'; did you mean 'resnet50'"):
        spec("ours_n0").build(Task(CLASSES, "resnet5"))
