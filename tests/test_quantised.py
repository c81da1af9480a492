"""int8 encoders: pictures in, symbols out, what it cost, and layers given back when it cost too much."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch

from calibration import Selection
from calibration.builtin import builtin
from encoders.device import DeviceEncoder, QuantisableEncoder
from encoders.loading import load
from encoders.prior import medians
from export import Request, export, parity, ranges, sensitivity
from export.commands import main
from export.drift import Drift, DriftError
from export.grid import on_grid
from export.ranges import Ranges
from export.targets import TARGETS
from runtime import Bundle, Decoder, Encoder, Receiver, UnknownName, UsageError, WrongTable, engines, selftest
from runtime.engines.openvino import openvino

RECIPES = [(target.name, recipe) for target in TARGETS.values() for recipe in target.recipes]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Pieces of photographs and drawn pictures, labelled by what the fp32 network says of them."""
    pixels = builtin(40, 224).pixels
    loaded = load("ours_n0", "receiver")
    device = DeviceEncoder(loaded.model, loaded.spec).eval()
    centre = torch.from_numpy(medians(loaded.model.prior)).view(1, -1, 1, 1)
    with torch.no_grad():
        symbols = [device(torch.from_numpy(p.copy()).unsqueeze(0)) for p in pixels]
        labels = [int(loaded.model.receive(s + centre).argmax()) for s in symbols]
    path = tmp_path_factory.mktemp("data") / "pieces.npz"
    np.savez(path, images=np.stack(pixels), labels=np.array(labels))
    return Selection(str(path), 24)


@pytest.fixture(scope="module")
def pictures():
    """As a network takes them."""
    return [p.transpose(2, 0, 1)[np.newaxis].astype(np.float32) for p in builtin(24, 224).pixels]


@pytest.fixture(scope="module")
def quantised(make_bundle, data):
    def make(target: str, recipe: str | None = None, model: str = "ours_n0"):
        return make_bundle(model, target, "int8", calibration=data, recipe=recipe)

    return make


@pytest.mark.parametrize(("target", "recipe"), RECIPES)
def test_symbols_stay_close_to_pytorchs(target, recipe, quantised, pixels):
    encoder = Encoder.open(quantised(target, recipe), threads=1)
    loaded = load("ours_n0")
    eager = DeviceEncoder(loaded.model, loaded.spec).eval()
    for picture in pixels:
        latent = parity.eager_latents(eager, picture)[0]
        difference = np.abs(encoder.symbols(picture) - latent)
        assert difference.max() < 2 and np.mean(difference > 0.75) < 1e-2
    assert selftest.run(encoder).passed
    found = encoder.bundle.manifest.parity
    assert found["agreement"] > 0.99 and found["recipe"] == recipe and found["calibrated_on"] == 24
    assert found["kept_float"] == ([0, 1] if recipe == "mixed" else [])


@pytest.mark.parametrize("target", TARGETS)
def test_bytes_in_and_symbols_out_without_a_second_rounding(target, quantised, pixels):
    """The graph's own output is the int8 symbol; its input is the picture as it was decoded."""
    bundle = Bundle.open(quantised(target))
    assert bundle.graph.name == f"encoder{TARGETS[target].file.split()[0]}"
    assert bundle.manifest.graph_input["dtype"] == "uint8" and bundle.manifest.graph_output["dtype"] == "int8"
    (raw,) = engines.run(engines.open_engine(None, target, bundle.graph, 1), pixels[1][np.newaxis])
    assert raw.dtype == np.int8 and raw.shape == (1, 64, 28, 28)
    assert np.array_equal(raw[0], Encoder.open(bundle.path, threads=1).symbols(pixels[1]))


@pytest.mark.parametrize("target", TARGETS)
def test_a_larger_encoder_shrinks_to_less_than_a_third(target, quantised, pixels):
    manifest = Bundle.open(quantised(target, model="ours_n4")).manifest
    assert manifest.parity["file_int8"] <= 0.30 * manifest.parity["file_fp32"]
    assert manifest.parity["agreement"] > 0.995
    assert manifest.bits < 0.27 * 32 * 623_552


def test_openvino_keeps_sums_in_real_numbers_and_knows_its_sizes(quantised):
    bundle = Bundle.open(quantised("openvino", model="ours_n4"))
    model = openvino.Core().read_model(str(bundle.graph))
    assert list(model.input(0).shape) == [1, 224, 224, 3] and list(model.output(0).shape) == [1, 64, 28, 28]
    read = [op.input_value(0).get_node() for op in model.get_ordered_ops() if op.get_type_name() == "FakeQuantize"]
    inner = [node.get_type_name() for node in read if node.get_type_name() != "Constant"]
    # A picture, eight GELUs, the last sum, the latent: nothing between a convolution and its sum.
    assert inner.count("Gelu") == 8 and len(inner) == 11
    assert ">\n<" not in bundle.graph.read_text(encoding="utf-8")


def test_weights_on_the_grid_make_up_for_what_they_lost(pictures):
    """Of n0's error with rounded weights, most is a constant: the first layer's, times the brightness of pictures."""
    loaded = load("ours_n0")
    network = QuantisableEncoder(loaded.model, loaded.spec).eval()
    moved = on_grid(network, pictures[:12], Ranges(), kept={1})
    first, last = sensitivity.convolutions(moved)
    original = sensitivity.convolutions(network)
    assert torch.equal(last.weight, original[1].weight) and torch.equal(last.bias, original[1].bias)
    assert torch.allclose(first.weight, sensitivity.rounded(first.weight), rtol=0, atol=1e-9)
    assert torch.equal(first.weight, sensitivity.rounded(original[0].weight))
    naive = copy.deepcopy(network)
    sensitivity.convolutions(naive)[0].weight.data = first.weight.data
    with torch.no_grad():
        others = [torch.from_numpy(p) for p in pictures[12:]]
        lost, left = (sum((n(p) - network(p)).abs().mean() for p in others) for n in (naive, moved))
    assert left < 0.7 * lost


def test_ranges_hold_zero_and_spend_nothing_on_what_gelu_ignores(pictures):
    loaded = load("ours_n4")
    network = QuantisableEncoder(loaded.model, loaded.spec).eval()
    found = ranges.find(network, pictures[:6])
    assert list(found.inputs) == list(range(1, 10)) and list(found.outputs) == list(range(10))
    for each in (*found.inputs.values(), *found.outputs.values()):
        zero = -255 * each.low / (each.high - each.low)
        assert zero == pytest.approx(round(zero), abs=1e-6) and 0 <= round(zero) <= 255
    bent = {index for index, each in found.outputs.items() if -4.5 < each.low <= -4}
    assert bent == {1, 3, 5, 7}  # the first of each block; what the others put out goes into a sum
    assert all(-0.5 < found.inputs[index].low <= -0.17 for index in range(1, 9))  # GELU's least


def test_a_constant_loss_of_activations_is_made_up_for(pictures):
    """Coarse steps round the many values between -0.17 and 0 to one side; the next bias takes that away."""
    loaded = load("ours_n4")
    network = QuantisableEncoder(loaded.model, loaded.spec).eval()
    coarse = Ranges({index: ranges.Range.around(-0.17, 24) for index in range(1, 9)})
    moved = on_grid(network, pictures[::2], coarse, kept=())
    weights = on_grid(network, pictures[::2], Ranges(), kept=())
    errors = []
    for candidate in (weights, moved):
        layers = sensitivity.convolutions(candidate)
        hooks = [
            layers[i].register_forward_pre_hook(lambda _, read, r=r: r.coarse(read[0]))
            for i, r in coarse.inputs.items()
        ]
        with torch.no_grad():
            off = torch.stack([candidate(p) - network(p) for p in map(torch.from_numpy, pictures[1::2])])
        errors.append(off.mean(dim=(0, 1, 3, 4)).abs().max())
        for hook in hooks:
            hook.remove()
    assert errors[1] < 0.7 * errors[0]


def test_tables_are_refitted_and_told_apart(quantised, make_bundle, photographs):
    """Payloads of refitted tables: refused by those who lack them, read by a receiver that was given them."""
    real, integer = make_bundle("ours_n0", "onnx"), quantised("onnx")
    payload = Encoder.open(integer).encode(photographs[1])
    with pytest.raises(WrongTable, match=Bundle.open(integer).tables.id.hex()):
        Decoder.open(real).symbols(payload)
    with pytest.raises(WrongTable):
        Decoder.open(integer).symbols(Encoder.open(real).encode(photographs[1]))
    receiver = make_bundle("ours_n0", "onnx", side="receiver")
    assert len(Receiver.open(receiver, tables=[integer]).predict(payload).ranked) == 30
    found = Bundle.open(integer).manifest.parity
    assert found["bytes_refit"] <= found["bytes_int8"]


def test_labels_give_the_accuracy(quantised):
    """Labelled by fp32 itself, which is therefore always right."""
    found = Bundle.open(quantised("onnx")).manifest.parity
    assert found["labelled"] == found["pictures"] == 10 and found["top1_fp32"] == 100
    assert 80 <= found["top1_int8"] <= 100


def test_layers_go_back_until_the_accuracy_holds_or_nothing_is_written(data, tmp_path):
    good = export(Request("ours_n0", "onnx", "int8", calibration=data, max_drop=0, output=tmp_path / "good"))
    assert good.manifest.parity["top1_int8"] == 100
    with pytest.raises(DriftError, match=r"more than --max-drop -1 allows"):
        export(Request("ours_n0", "onnx", "int8", calibration=data, max_drop=-1, output=tmp_path / "bad"))
    assert [p.name for p in tmp_path.iterdir()] == ["good"]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kept", [{0}, {1}])
def test_single_layers_can_go_back_on_every_target(target, kept, data, monkeypatch, tmp_path, pixels):
    """As the fallback does it: the first or the last alone."""
    from export import quantised as module

    attempts = []
    attempt = module._attempt

    def stubborn(job, plan, *more):
        draft, found = attempt(job, plan, *more)
        attempts.append(plan.kept)
        return draft, module.replace(found, top1_fp32=100.0, top1_int8=100.0 if plan.kept else 0.0)

    monkeypatch.setattr(module, "_attempt", stubborn)
    monkeypatch.setattr(module, "worst_first", lambda *_: sorted(kept))
    made = export(Request("ours_n0", target, "int8", calibration=data, max_drop=0.5, output=tmp_path / "bundle"))
    assert attempts == [frozenset(), frozenset(kept)] and made.manifest.parity["kept_float"] == sorted(kept)
    loaded = load("ours_n0")
    eager = DeviceEncoder(loaded.model, loaded.spec).eval()
    symbols = Encoder.open(made.path, threads=1).symbols(pixels[1])
    assert np.abs(symbols - parity.eager_latents(eager, pixels[1])[0]).max() < 2


def test_worst_layers_are_found_by_their_effect(pictures):
    """One filter far larger than the others of its channel's range makes a layer coarse."""
    loaded = load("ours_n4")
    network = QuantisableEncoder(loaded.model, loaded.spec).eval()
    layers = sensitivity.convolutions(network)
    assert len(layers) == 10
    with torch.no_grad():
        layers[4].weight[:, 0, 0, 0] *= 300
    before = [layer.weight.clone() for layer in layers]
    order = sensitivity.worst_first(network, pictures[:3])
    assert order[0] == 4 and sorted(order) == list(range(10))
    assert all(torch.equal(a, layer.weight) for a, layer in zip(before, layers, strict=True))


def test_without_data_it_warns_and_with_it_reports(tmp_path, data, capsys):
    words = ["--model", "ours_n0", "--target", "onnx", "--precision", "int8", "--output", str(tmp_path / "a")]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert (
        "accuracy is not assured; give your own with --calibration" in out and "of symbols equal on 24 built-in" in out
    )
    assert main([*words, "--calibration", data.data, "--calibration-count", "24"]) == 0
    out = capsys.readouterr().out
    assert "not assured" not in out and "top-1 of 10" in out and "refitted tables" in out and "encode, 1 thread" in out
    assert main([*words, "--calibration", data.data, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["bundles"][0]["parity"]
    assert told["ms_int8"] > 0 and told["file_int8"] < told["file_fp32"]
    card = (tmp_path / "a" / "README.md").read_text()
    assert "What 8-bit integers cost" in card and "top-1 of 10" in card


def test_requests_that_cannot_be_met(tmp_path, data):
    from dataclasses import replace

    request = Request("ours_n0", "onnx", "int8", output=tmp_path / "out")
    cases = [
        (replace(request, side="receiver"), UsageError, "int8 is for encoders"),
        (replace(request, recipe="dynamic"), UnknownName, "unknown recipe of onnx 'dynamic'.* Known: mixed, static"),
        (replace(request, precision="fp32", recipe="static"), UsageError, "fp32 has none"),
        (replace(request, max_drop=0.5), UsageError, "--max-drop needs trained weights, and calibration data"),
        (replace(request, max_drop=0.5, calibration=data, weights="seeded"), UsageError, "--max-drop needs trained"),
    ]
    for wrong, kind, message in cases:
        with pytest.raises(kind, match=message):
            export(wrong)
    assert list(tmp_path.iterdir()) == []


def drift(**changes):
    fields = {
        "pictures": 10, "kind": "real", "calibrated_on": 64, "recipe": "static", "kept_float": (), "agreement": 0.999,
        "mean_difference": 0.001, "largest_difference": 1,
        "bytes_fp32": 500.0, "bytes_int8": 505.0, "bytes_refit": 498.0, "bytes_context": 290.0,
        "file_fp32": 2_500_000, "file_int8": 660_000, "ms_fp32": 4.0, "ms_int8": 1.5, "labelled": 10, "top1_fp32": 90.0,
        "top1_int8": 89.0,
    }  # fmt: skip
    return Drift(**{**fields, **changes})


def test_report_recommends_the_winner():
    assert not any("not faster" in line for line in drift().lines())
    assert any("contexts" in line and "290.0 B" in line for line in drift().lines())
    assert not any("contexts" in line for line in drift(bytes_context=None).lines())
    assert "not faster than fp32 on this CPU: prefer fp32" in drift(ms_int8=4.1).lines()[-1]


def test_drop_needs_labels():
    assert drift().drop == 1 and drift(top1_fp32=None, top1_int8=None).drop is None
    assert not any("top-1" in line for line in drift(top1_fp32=None, top1_int8=None).lines())


def test_bfloat16_is_close_and_is_what_runs(make_bundle, pixels):
    """Symbols near PyTorch's, and some that are not fp32's: the graph really computes in bfloat16."""
    from export.targets.openvino import capabilities

    if "BF16" not in capabilities():
        pytest.skip("this CPU has no bfloat16")
    half = Encoder.open(make_bundle("ours_n4", "openvino", "bf16", weights="seeded"), threads=1)
    real = Encoder.open(make_bundle("ours_n4", "openvino", weights="seeded"), threads=1)
    equal = np.mean([half.symbols(p) == real.symbols(p) for p in pixels])
    assert 0.98 < equal < 1 and selftest.run(half).passed


def test_bfloat16_is_refused_where_the_cpu_lacks_it(monkeypatch, tmp_path):
    monkeypatch.setattr("export.targets.openvino.capabilities", lambda: ["FP32", "INT8"])
    with pytest.raises(UsageError, match="this CPU has no bfloat16"):
        export(Request("ours_n0", "openvino", "bf16", output=tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []
