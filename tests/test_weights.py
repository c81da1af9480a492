"""The weights that ship: complete, small enough, what their cards say, and picked by name."""

from __future__ import annotations

import json

import pytest
from safetensors import safe_open

from encoders import MODELS, weights
from encoders.loading import load
from export.commands import main
from runtime import Encoder, UnknownName
from tests.conftest import ROOT

FOLDER = ROOT / "encoders" / "weights"
SHIPPED = [(spec, name) for spec in MODELS.values() for name in spec.weights]


def metadata(spec, name):
    with safe_open(weights.find(spec, name), framework="pt") as file:
        return file.metadata()


def test_files_and_registry_agree_and_fit_into_12_mb():
    expected = {f"{spec.name}-{name}{end}" for spec, name in SHIPPED for end in (".safetensors", ".md")}
    assert {p.name for p in FOLDER.iterdir() if p.suffix in (".safetensors", ".md")} == expected
    assert len(SHIPPED) == 5
    assert sum(p.stat().st_size for p in FOLDER.glob("*.safetensors")) <= 12e6


@pytest.mark.parametrize(("spec", "name"), SHIPPED, ids=lambda value: getattr(value, "name", value))
def test_both_sides_load_and_the_card_says_what_the_file_says(spec, name):
    for side in ("encoder", "receiver"):
        loaded = load(spec.name, side, weights=name)
        assert loaded.weights == f"{spec.name}-{name}, shipped" and len(loaded.checkpoint_sha256) == 64
    assert len(loaded.model.class_names) == 30 and "sunflower" in loaded.model.class_names
    described = metadata(spec, name)
    recipe, facts = json.loads(described["recipe"]), json.loads(described["facts"])
    assert described["model"] == recipe["model"] == spec.name and name == f"lmb{recipe['lmbda']:g}"
    card = (FOLDER / f"{spec.name}-{name}.md").read_text()
    assert f"python -m encoders train --model {spec.name}" in card and f"--lmbda {recipe['lmbda']:g}" in card
    assert f"| seed | {recipe['seed']} |" in card and "CC BY 4.0" in card
    assert f"{100 * facts['held_out_top1']:.1f} %" in card and f"{facts['held_out_estimated_bpp']:.4f} bpp" in card


def test_higher_lambda_sends_fewer_bytes(make_bundle, photographs):
    """Real payloads of real photographs, a factor of four and more between the ends."""
    sizes = []
    for name in ("lmb0.16", "lmb1.28", "lmb40.96"):
        encoder = Encoder.open(make_bundle("ours_n4", "onnx", weights=name))
        sizes.append(sum(len(encoder.encode(photograph)) - 12 for photograph in photographs))
    assert sizes[0] > sizes[1] > sizes[2] and sizes[0] >= 4 * sizes[2]


def test_default_is_the_first_and_is_named(tmp_path, capsys):
    assert main(["--model", "ours_n0", "--target", "onnx", "--output", str(tmp_path / "default")]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first == "ours_n0 encoder, weights: ours_n0-lmb1.28, shipped (--weights takes lmb1.28, seeded)"
    asked = ["--weights", "seeded", "--output", str(tmp_path / "seeded")]
    assert main(["--model", "ours_n0", "--target", "onnx", *asked]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "ours_n0 encoder, weights: seeded (seed 0), not trained"
    assert "not trained" in load("ours_n4_enc").weights, "nothing ships for it"


def test_list_names_them(capsys):
    assert main(["--list", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["weights"]
    assert told["ours_n4"] == ["lmb1.28", "lmb0.16", "lmb40.96", "seeded"] and told["ours_n4_enc"] == ["seeded"]


def test_wrong_names_are_told_before_anything_is_written(tmp_path, capsys):
    words = ["--model", "ours_n4", "--target", "onnx", "--output", str(tmp_path / "out")]
    assert main([*words, "--weights", "lmb1.82"]) == 2
    assert "did you mean 'lmb1.28'" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main([*words, "--weights", "lmb1.28", "--checkpoint", "file.pt"])
    assert stop.value.code == 2 and "not allowed with" in capsys.readouterr().err
    with pytest.raises(UnknownName):
        load("ours_n4", weights="best")
    assert list(tmp_path.iterdir()) == []
