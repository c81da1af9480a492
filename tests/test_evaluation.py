"""``encoders evaluate``: the numbers of real payloads, counted again by hand; broken pictures; going on."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from encoders.commands import main
from encoders.drawn import draw
from profiling import evaluation, records
from runtime import Bundle, Encoder, Receiver, UsageError
from runtime.pictures import Labelled, labelled
from runtime.preprocess import to_pixels
from tests.conftest import SHARED

CLASSES = ("airplanes", "umbrella", "watch")


@pytest.fixture(scope="module")
def pair(make_bundle):
    return make_bundle("ours_n0", "tflite"), make_bundle("ours_n0", "onnx", side="receiver")


@pytest.fixture
def folder(tmp_path):
    """Three of the receiver's classes; one picture is broken."""
    root = tmp_path / "val"
    for index, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for seed in range(4):
            Image.fromarray(draw(100 * index + seed, 240)).save(root / name / f"{seed}.png")
    (root / "watch" / "3.png").write_bytes((root / "watch" / "3.png").read_bytes()[:300])
    return root


def run(pair, folder, output, *more):
    words = ["evaluate", pair[0], "--receiver", pair[1], "--data", folder, "-o", output, "--threads", 1, *more]
    return main([str(word) for word in words])


def test_it_counts_what_encode_and_predict_give(pair, folder, tmp_path, capsys):
    assert run(pair, folder, tmp_path / "results.jsonl", "--device-name", "bench", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    encoder, receiver = Encoder.open(pair[0]), Receiver.open(pair[1])
    top1, top5, sizes = [], [], []
    for name in CLASSES:
        for file in sorted((folder / name).iterdir()):
            if (name, file.name) == ("watch", "3.png"):
                continue
            payload = encoder.encode(file)
            ranked = [n for n, _ in receiver.predict(payload).ranked]
            top1.append(ranked[0] == name)
            top5.append(name in ranked[:5])
            sizes.append(len(payload))
    (record,) = records.read(tmp_path / "results.jsonl").records
    assert record.task["n"] == 11 and record.task["broken"] == 1 and said["left_out"] == ["watch/3.png"]
    assert record.task["top1"] == pytest.approx(100 * np.mean(top1))
    assert record.task["top5"] == pytest.approx(100 * np.mean(top5)) and record.task["data"] == "val"
    assert record.wire_bytes["mean"] == pytest.approx(np.mean(sizes))
    assert record.bpp == pytest.approx(8 * (np.mean(sizes) - 12) / 224**2) and record.device["name"] == "bench"
    assert len(record.samples["total"]) == 11 and record.stages["network"]["p50"] > 0
    assert [p.name for p in tmp_path.iterdir() if "partial" in p.name] == []


def test_text_names_the_broken_picture_and_the_weights(pair, folder, tmp_path, capsys):
    assert run(pair, folder, tmp_path / "results.jsonl") == 0
    out = capsys.readouterr().out
    assert "weights: ours_n0-lmb1.28, shipped" in out and " of 11 pictures" in out
    assert "left out: " in out and "watch/3.png is damaged" in out
    assert run(pair, folder, tmp_path / "results.jsonl") == 0
    assert len(records.read(tmp_path / "results.jsonl").records) == 2, "a record is added, none is lost"


def test_it_goes_on_where_it_was(pair, folder, tmp_path):
    """Stopped in the middle of a line: what was done is kept, the rest is done, nothing twice."""
    journal = tmp_path / "journal"

    class Stop(Exception):
        pass

    def few(items):
        for index, item in enumerate(items):
            if index == 5:
                raise Stop
            yield item

    with pytest.raises(Stop):
        evaluation.evaluate(*pair, folder, journal, watch=few)
    journal.write_bytes(journal.read_bytes() + b'{"file": "watch/0.pn')
    seen = []

    def rest(items):
        for item in items:
            seen.append(item)
            yield item

    resumed, _ = evaluation.evaluate(*pair, folder, journal, watch=rest)
    whole, _ = evaluation.evaluate(*pair, folder, journal)
    assert len(seen) == 12 - 5 and not journal.exists()
    assert (resumed.task, resumed.wire_bytes, resumed.estimated_bpp) == (
        whole.task,
        whole.wire_bytes,
        whole.estimated_bpp,
    )


def test_a_journal_of_something_else_is_refused(pair, folder, tmp_path):
    journal = tmp_path / "journal"
    for content in ('["other"]\n', "rubbish\n"):
        journal.write_text(content)
        with pytest.raises(UsageError, match="remove it to start anew"):
            evaluation.evaluate(*pair, folder, journal)
        assert journal.read_text() == content
    journal.write_text("")  # stopped before the first line
    assert evaluation.evaluate(*pair, folder, journal)[0].task["n"] == 11


def test_requests_that_cannot_be_met(pair, folder, tmp_path, make_bundle, capsys):
    cases = [
        ((pair[0], make_bundle("ours_n4", "onnx", side="receiver")), folder, "is for ours_n0, not ours_n4"),
        (pair, tmp_path / "nowhere", "is not a folder"),
        ((pair[1], pair[1]), folder, "encoding needs an encoder bundle"),
        ((pair[0], pair[0]), folder, "predicting needs a receiver bundle"),
    ]
    strange = tmp_path / "strange"
    shutil.copytree(folder, strange)
    (strange / "watch").rename(strange / "watches")
    cases.append((pair, strange, "1 of 3 folders carry no class name of the receiver"))
    for bundles, data, message in cases:
        before = sorted(tmp_path.iterdir())
        assert run(bundles, data, tmp_path / "results.jsonl") in (1, 2)
        error = capsys.readouterr().err.strip().splitlines()
        assert len(error) == 1 and message in error[0]
        assert sorted(tmp_path.iterdir()) == before
    other = tmp_path / "results.jsonl"
    other.write_text("somebody's notes\n")
    assert run(pair, folder, other) == 1 and other.read_text() == "somebody's notes\n"


def test_folders_are_matched_by_name_or_by_order(tmp_path):
    file = tmp_path / "a.png"
    named = Labelled(("cat", "dog"), ((file, 0), (file, 1))).named_as(("ape", "dog", "cat"))
    assert named.items == ((file, 2), (file, 1)) and named.classes == ("ape", "dog", "cat")
    numbered = Labelled(("n01", "n02"), ((file, 1),)).named_as(("tench", "goldfish"))
    assert numbered.items == ((file, 1),) and numbered.classes == ("tench", "goldfish")


def test_charge_is_the_tables_information(pair, pixels):
    """Against a loop in plain Python, escapes included."""
    tables = Bundle.open(pair[0]).tables
    symbols = Encoder.open(pair[0]).symbols(pixels[0])
    symbols[3, 0, 0], symbols[5, 1, 1] = 2000, -2000
    bits = 0.0
    for channel in range(tables.channels):
        weights, low = tables.row_weights(channel).tolist(), int(tables.low[channel])
        for symbol in symbols[channel].ravel().tolist():
            inside = 0 <= symbol - low < len(weights) - 1
            bits += 24 - np.log2(weights[symbol - low if inside else -1]) + (0 if inside else 16)
    assert tables.charge(symbols) == pytest.approx(bits, rel=1e-9)


@pytest.mark.skipif(not SHARED.exists(), reason="needs the photographs in ../shared")
def test_shipped_weights_do_what_their_card_says(make_bundle, tmp_path):
    """On the pictures that the training held out of its own data, by real payloads."""
    from safetensors import safe_open

    from encoders import weights
    from encoders.registry import spec

    with safe_open(weights.find(spec("ours_n4")), framework="pt") as file:
        facts, recipe = (json.loads(file.metadata()[key]) for key in ("facts", "recipe"))
    source = labelled(SHARED / "data" / "caltech30" / "train")
    _, held = source.split(0.12, recipe["seed"])
    assert len(held.items) == facts["held_out"]
    encoder = Encoder.open(make_bundle("ours_n4", "tflite"))
    receiver = Receiver.open(make_bundle("ours_n4", "onnx", side="receiver"))
    right, size = [], []
    for file, label in held.items[::3]:
        payload = encoder.encode(to_pixels(file, 224))
        right.append(receiver.predict(payload).best == source.classes[label])
        size.append(len(payload) - 12)
    assert 100 * np.mean(right) >= 100 * facts["held_out_top1"] - 7
    assert 8 * np.mean(size) / 224**2 == pytest.approx(facts["held_out_estimated_bpp"], rel=0.12)
