"""SPIC's files: a unit, the network around it and the table put together; what does not fit; tables from counts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from encoders.checkpoint import CheckpointError
from encoders.loading import load
from encoders.registry import MODELS
from encoders.systems.spic import SPICModel, table_beside
from runtime.errors import UsageError
from tests.depthwise import ROW as TINY
from tests.depthwise import SPEC, counter, of_unit, write_table


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> SPICModel:
    monkeypatch.setitem(MODELS, TINY.name, SPEC)
    return load(TINY.name).model


def same(model: SPICModel, other: SPICModel, part: str = "") -> bool:
    own, theirs = model.state_dict(), other.state_dict()
    return all(torch.equal(own[key], theirs[key]) for key in own if key.startswith(part))


def test_unit_backbone_and_table_from_their_files(tiny, tmp_path):
    trained = tiny.state_dict()
    for value in trained.values():
        if value.is_floating_point():
            value.add_(0.25)
    unit, backbone = tmp_path / "cls_weights" / "S1" / "model1.pth.tar", tmp_path / "network.pth"
    unit.parent.mkdir(parents=True)
    torch.save({"state_dict": of_unit(tiny)}, unit)
    torch.save({key: value for key, value in trained.items() if "Bottleneck2" not in key}, backbone)

    alone = load(TINY.name, "encoder", unit)
    assert alone.weights == (
        "checkpoint model1.pth.tar, backbone not trained (seed 0), table counted on drawn pictures"
    )
    assert same(alone.model, tiny, "Bottleneck2.") and not same(alone.model, tiny, "conv1.")
    assert len(alone.checkpoint_sha256) == 64

    table = write_table(tmp_path / "cls_freq" / "S1" / "freq1.pickle", counter(TINY.step, {0: 90, 1: 9, 4: 1}))
    whole = load(TINY.name, "receiver", unit, parts={"backbone": backbone})
    assert whole.weights == "checkpoint model1.pth.tar, backbone network.pth, table freq1.pickle"
    assert same(whole.model, tiny) and whole.model.counts.tolist() == [90, 9, 0, 0, 1]
    other = write_table(tmp_path / "mine.pickle", counter(TINY.step, {0: 1, 2: 1}))
    given = load(TINY.name, "encoder", unit, parts={"backbone": backbone, "table": other})
    assert given.model.counts.tolist() == [1, 0, 1] and given.weights.endswith("table mine.pickle")

    fresh = load(TINY.name, "encoder", parts={"backbone": backbone, "table": table})
    assert fresh.weights.startswith("unit not trained (seed 0), backbone network.pth")
    assert same(fresh.model, tiny, "conv1.") and fresh.model.counts.tolist() == [90, 9, 0, 0, 1]

    everything = tmp_path / "whole.pt"
    torch.save(trained, everything)
    assert "backbone in the same file" in load(TINY.name, "encoder", everything).weights


def test_published_trees_are_understood(tmp_path):
    for weights, tables in (("weights/supervised/S1", "freq_tab/supervised/S1"), ("seg_weights/US2", "seg_freq/US2")):
        table = write_table(tmp_path / tables / "freq3.pickle", {})
        assert table_beside(tmp_path / weights / "model3.pth.tar") == table
        assert table_beside(tmp_path / weights / "model4.pth.tar") is None
        assert table_beside(tmp_path / weights / "best.pt") is None


def test_files_that_do_not_fit(tiny, tmp_path):
    unit = of_unit(tiny)
    for state, message in (
        (unit | {"conv9.weight": torch.ones(1)}, "1 unexpected: conv9.weight$"),
        (unit | {"conv2_3.weight": torch.ones(9, 12, 1, 1)}, "mis-shaped"),
        ({key: value for key, value in unit.items() if "conv2_2" not in key}, "missing"),
    ):
        torch.save({"state_dict": state}, tmp_path / "unit.pth.tar")
        with pytest.raises(CheckpointError, match=message):
            load(TINY.name, "encoder", tmp_path / "unit.pth.tar")
    torch.save({"fc.weight": torch.ones(3, 12)}, tmp_path / "network.pth")
    with pytest.raises(CheckpointError, match=r"network.pth does not fit .* missing: conv1.weight"):
        load(TINY.name, "encoder", parts={"backbone": tmp_path / "network.pth"})


def test_tensors_that_were_saved_on_a_gpu(tiny, tmp_path, monkeypatch):
    """As half of the published files are, on machines that have none."""
    monkeypatch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
    torch.save({"state_dict": of_unit(tiny)}, tmp_path / "unit.pth.tar")
    monkeypatch.undo()
    monkeypatch.setitem(MODELS, TINY.name, tiny.spec)
    assert b"cuda:0" in (tmp_path / "unit.pth.tar").read_bytes()
    loaded = load(TINY.name, "encoder", tmp_path / "unit.pth.tar").model
    assert same(loaded, tiny, "Bottleneck2.")
    assert {value.device.type for value in loaded.state_dict().values()} == {"cpu"}


def test_a_cached_backbone_is_found(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    host = {key: value for key, value in tiny.state_dict().items() if "Bottleneck2" not in key}
    torch.save(host, tmp_path / "checkpoints" / "resnet50-0676ba61.pth")
    torch.save({"state_dict": of_unit(tiny)}, tmp_path / "unit.pth.tar")
    assert "backbone resnet50-0676ba61.pth" in load(TINY.name, "encoder", tmp_path / "unit.pth.tar").weights
    assert load(TINY.name).weights == "seeded (seed 0), not trained", "seeded weights depend on nothing else"


def test_tables(tiny):
    tiny.counts = np.array([600, 0, 400], np.int64)
    made = tiny.tables((1, 2))
    assert made.step == np.float32(TINY.step) and made.channels == TINY.channels
    row = made.row_weights(0).astype(int)
    assert row[0] == row[2] == 1 and row[-1] in (15, 16) and row[1:4].argmax() == 0
    assert row[[1, 3]] / row.sum() == pytest.approx([0.6, 0.4], abs=1e-5)
    assert made.zero_weight[0] / 2**24 == pytest.approx(0.36, abs=1e-6)
    assert tiny.tables((9, 9)).zero_weight[0] == 2**16, "bounded, as other flags are"
    tiny.counts = np.array([5], np.int64)
    only_zeros = tiny.tables((2, 2))
    assert only_zeros.bins[0] == 4, "tables reach from -1 to 1 at least"
    tiny.counts = None
    with pytest.raises(UsageError, match="--table"):
        tiny.tables((2, 2))
