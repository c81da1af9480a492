"""Artifacts of every target and precision, reloaded through the runtime: the same integers, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from calibration import Selection
from encoders.device import DeviceEncoder
from encoders.loading import load
from export import Request, export, parity
from export.targets import TARGETS
from runtime import Bundle, Decoder, Encoder, Receiver, UsageError, selftest
from runtime.errors import EngineError, WrongTable
from runtime.payload import HEADER_BYTES

#: Those that compute in real numbers; tests/test_quantised.py has the integers.
PAIRS = [(target.name, precision) for target in TARGETS.values() for precision in ("fp32", "fp16")]


def eager(model: str) -> DeviceEncoder:
    loaded = load(model, weights="seeded")
    return DeviceEncoder(loaded.model, loaded.spec).eval()


@pytest.mark.parametrize(("target", "precision"), PAIRS)
def test_artifact_computes_what_pytorch_computes(target, precision, make_bundle, pixels):
    """With seeded weights, whose channels are nearly all alive."""
    encoder = Encoder.open(make_bundle("ours_n0", target, precision, weights="seeded"), threads=1)
    for picture in pixels:
        latent = parity.eager_latents(eager("ours_n0"), picture)[0]
        symbols = encoder.symbols(picture)
        assert symbols.dtype == np.int32 and symbols.shape == (64, 28, 28)
        slack = parity.TOLERANCE[precision] * max(1, np.abs(latent).max())
        assert np.all(np.abs(symbols - latent) <= 0.5 + slack)
        assert np.mean(symbols == np.rint(latent)) >= (0.9999 if precision == "fp32" else 0.995)


@pytest.mark.parametrize("model", ["ours_n4", "ours_n8"])
@pytest.mark.parametrize("target", TARGETS)
def test_larger_models(model, target, make_bundle, pixels):
    encoder = Encoder.open(make_bundle(model, target))
    assert selftest.run(encoder).passed
    assert encoder.bundle.manifest.parity["agreement"] >= 0.9999
    assert Decoder.open(encoder.bundle.path).symbols(encoder.encode(pixels[0])).shape == (64, 28, 28)


def test_every_payload_decodes_with_every_bundle(make_bundle, photographs):
    """Sender and receiver agree whatever targets they were exported to; equal graphs give equal payloads."""
    bundles = [make_bundle("ours_n0", target, precision) for target, precision in PAIRS]
    decoders = [Decoder.open(bundle) for bundle in bundles]
    for bundle in bundles:
        encoder = Encoder.open(bundle, threads=1)
        for photograph in photographs:
            payload, symbols = encoder.encode(photograph), encoder.symbols(photograph)
            for decoder in decoders:
                assert np.array_equal(decoder.symbols(payload), symbols)


def test_half_the_file_at_half_precision(make_bundle):
    for name, target in TARGETS.items():
        sizes = [
            sum(p.stat().st_size for p in make_bundle("ours_n4", name, precision).glob("encoder.*"))
            for precision in ("fp32", "fp16")
        ]
        if target.stored_bits["fp16"] == 16:
            assert sizes[1] < 0.53 * sizes[0]
        manifest = Bundle.open(make_bundle("ours_n4", name, "fp16")).manifest
        assert manifest.bits == 623_552 * target.stored_bits["fp16"]


def test_manifest_says_what_ships(make_bundle):
    manifest = Bundle.open(make_bundle("ours_n4")).manifest
    assert (manifest.parameters, manifest.bits) == (623_552, 19_953_664)
    assert (manifest.size, manifest.latent_shape, manifest.nominal_grid) == (224, (64, 28, 28), (28, 28))
    assert manifest.graph_input == {"dtype": "uint8", "shape": [1, 224, 224, 3], "layout": "NHWC"}
    assert manifest.graph_output == {"dtype": "int32", "shape": [1, 64, 28, 28], "layout": "NCHW"}
    assert manifest.weights == "ours_n4-lmb1.28, shipped" and len(manifest.checkpoint_sha256) == 64
    assert manifest.tools["torch"] == torch.__version__.split("+")[0]


def test_another_size_writes_its_grid_and_still_decodes_elsewhere(make_bundle, photographs):
    large = Encoder.open(make_bundle("ours_n0", "onnx", size=256))
    payload = large.encode(photographs[0])
    assert payload[3] == 1
    symbols = Decoder.open(make_bundle("ours_n0", "tflite")).symbols(payload)
    assert symbols.shape == (64, 32, 32) and np.array_equal(symbols, large.symbols(photographs[0]))


def test_parity_catches_a_wrong_graph(make_bundle, pixels):
    encoder = Encoder.open(make_bundle("ours_n0", weights="seeded"))
    wrong = eager("ours_n0")
    with torch.no_grad():
        wrong.network.layers[-1].bias += 0.7
    with pytest.raises(parity.ParityError, match="differs from PyTorch"):
        parity.measure(encoder, wrong, pixels, "real", "fp32")


def test_parity_failure_fails_the_export(monkeypatch, tmp_path):
    monkeypatch.setitem(parity.TOLERANCE, "fp32", -0.4)  # every latent then counts as too far off
    with pytest.raises(parity.ParityError):
        export(Request("ours_n0", "onnx", output=tmp_path / "bundle"))
    assert list(tmp_path.iterdir()) == []


def test_real_pictures_are_used_and_recorded_when_given(photographs, tmp_path):
    request = Request("ours_n0", "onnx", calibration=Selection(str(photographs[0].parent)), output=tmp_path / "bundle")
    manifest = export(request).manifest
    assert manifest.parity["kind"] == "real" and manifest.parity["pictures"] == 2
    assert manifest.calibration["count"] == 2 and len(manifest.calibration["sha256"]) == 64


def test_bundles_hold_no_paths_of_the_machine(make_bundle):
    import encoders

    here = str(next(iter(encoders.__path__))).encode()
    for target in TARGETS:
        for file in make_bundle("ours_n0", target).rglob("*"):
            assert not file.is_file() or here.rsplit(b"/", 1)[0] not in file.read_bytes(), file


@pytest.fixture(scope="module", params=["onnx", "openvino"])
def receiver(request, make_bundle):
    return make_bundle("ours_n0", request.param, side="receiver")


@pytest.mark.parametrize(("weights", "classes"), [("lmb1.28", 30), ("seeded", 1000)])
@pytest.mark.parametrize("target", ["onnx", "openvino"])
def test_receiver_predicts_what_pytorch_predicts(target, weights, classes, make_bundle, pixels):
    """The small receiver and the paper's."""
    receiver = make_bundle("ours_n0", target, side="receiver", weights=weights)
    sender = make_bundle("ours_n0", "tflite", weights=weights)
    payload = Encoder.open(sender).encode(pixels[1])
    opened = Receiver.open(receiver)
    latent = torch.from_numpy(Decoder.open(sender).latent(payload)).unsqueeze(0)
    model = load("ours_n0", "receiver", weights=weights).model
    with torch.no_grad():
        expected = model.receive(latent)[0]
    assert np.allclose(opened.logits(payload), expected.numpy(), atol=1e-4)
    ranked = opened.predict(payload).ranked
    assert ranked[0][0] == model.class_names[int(expected.argmax())]
    assert len(ranked) == classes and abs(sum(p for _, p in ranked) - 1) < 1e-6
    assert ranked == sorted(ranked, key=lambda pair: -pair[1])


def test_receiver_learns_more_tables(receiver, make_bundle, pixels):
    """A payload of other tables is refused by name, and read once their bundle is given."""
    other = make_bundle("ours_n0", "onnx", checkpoint=_checkpoint_with_another_prior(make_bundle))
    payload = Encoder.open(other).encode(pixels[0])
    with pytest.raises(WrongTable, match=Bundle.open(other).tables.id.hex()):
        Receiver.open(receiver).predict(payload)
    assert Receiver.open(receiver, tables=[other]).predict(payload).ranked


def _checkpoint_with_another_prior(make_bundle):
    path = make_bundle("ours_n0").parent / "another.pt"
    if not path.exists():
        model = load("ours_n0").model
        with torch.no_grad():
            model.prior.quantiles[:, 0, 1] += 0.25
        torch.save({"model": {k: v for k, v in model.state_dict().items() if "encoder" in k or "entropy" in k}}, path)
    return path


def test_engines_are_chosen_refused_and_explained(make_bundle, monkeypatch, pixels):
    bundle = make_bundle("ours_n0", "onnx")
    with_openvino = Encoder.open(bundle, engine="openvino", threads=1)
    assert np.mean(with_openvino.symbols(pixels[0]) == Encoder.open(bundle).symbols(pixels[0])) > 0.9999
    with pytest.raises(EngineError, match="cannot run onnx bundles; these can: onnxruntime, openvino"):
        Encoder.open(bundle, engine="litert")
    with pytest.raises(UsageError, match="threads must be at least 1"):
        Encoder.open(bundle, threads=0)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(sys.modules, "runtime.engines.onnxruntime", raising=False)
    with pytest.raises(EngineError, match=r"pip install 'splitport\[onnx\]'"):
        Encoder.open(bundle)


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="a second thread needs a second core")
@pytest.mark.parametrize("target", TARGETS)
def test_threads_are_honoured(target, make_bundle):
    """Count the threads of a process that encoded with one, and of one that encoded with two."""
    program = (
        "import os, sys, numpy; from runtime import Encoder\n"
        "encoder = Encoder.open(sys.argv[1], threads=int(sys.argv[2]))\n"
        "encoder.encode(numpy.zeros((224, 224, 3), numpy.uint8)); print(len(os.listdir('/proc/self/task')))"
    )
    bundle = str(make_bundle("ours_n4", target))
    one, two = (
        subprocess.run([sys.executable, "-W", "ignore", "-c", program, bundle, threads], capture_output=True, text=True)
        for threads in ("1", "2")
    )
    assert int(two.stdout.split()[-1]) == int(one.stdout.split()[-1]) + 1


def test_timing_covers_the_encode(make_bundle, pixels):
    encoder = Encoder.open(make_bundle("ours_n0"))
    payload = encoder.encode(pixels[0])
    timing = encoder.last_timing
    assert list(timing) == ["preprocess", "network", "code", "container"]
    assert min(timing.values()) > 0 and timing.network > timing.container == timing["container"]
    assert timing.total == pytest.approx(sum(timing.values()))
    assert len(payload) > HEADER_BYTES


def test_unsupported_pairs_are_refused_before_anything_happens(tmp_path):
    for request in (
        Request("ours_n0", "tflite", side="receiver", output=tmp_path / "a"),
        Request("ours_n0", "onnx", precision="int3", output=tmp_path / "b"),
        Request("ours_n0", "onnx", size=225, output=tmp_path / "c"),
    ):
        with pytest.raises(UsageError):
            export(request)
    assert list(tmp_path.iterdir()) == []


def test_an_engine_that_fails_on_a_graph_says_so_in_one_line(make_bundle, pixels, monkeypatch):
    encoder = Encoder.open(make_bundle("ours_n0"))
    monkeypatch.setattr("runtime.encoder.to_pixels", lambda picture, size: picture[:100].copy())
    with pytest.raises(EngineError, match="the graph cannot be run"):
        encoder.encode(pixels[0])


def test_litert_falls_back_to_the_older_package(make_bundle, pixels, monkeypatch):
    """tflite_runtime offers the same interface; here it is played by the newer package under its name."""
    from ai_edge_litert import interpreter

    expected = Encoder.open(make_bundle("ours_n0", "tflite")).symbols(pixels[0])
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    monkeypatch.setitem(sys.modules, "tflite_runtime", type(sys)("tflite_runtime"))
    monkeypatch.setitem(sys.modules, "tflite_runtime.interpreter", interpreter)
    monkeypatch.delitem(sys.modules, "runtime.engines.litert", raising=False)
    assert np.array_equal(Encoder.open(make_bundle("ours_n0", "tflite")).symbols(pixels[0]), expected)


def test_one_failing_target_of_all_does_not_stop_the_others(monkeypatch, tmp_path, capfd):
    from export.commands import main
    from export.targets import onnx

    def fail(*_: object) -> str:
        raise RuntimeError("no such operator")

    monkeypatch.setattr(onnx, "convert", fail)
    assert main(["--model", "ours_n0", "--target", "all", "--output", str(tmp_path)]) == 1
    out, err = capfd.readouterr()
    assert err.strip().splitlines() == [
        "python -m export: onnx: the converter failed on ours_n0: no such operator (see --debug)"
    ]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "ours_n0-executorch-fp32", "ours_n0-openvino-fp32", "ours_n0-tflite-fp32",
    ]  # fmt: skip
    assert out.count("100.000 %") == 3


def test_doctor_knows_that_executorch_is_nothing_without_torch(monkeypatch, capsys):
    import importlib.metadata

    from runtime.commands import main

    real = importlib.metadata.version

    def version(name: str) -> str:
        if name == "torch":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    assert main(["doctor"]) == 0
    assert "yes  executorch" in capsys.readouterr().out
    monkeypatch.setattr(importlib.metadata, "version", version)
    assert main(["doctor"]) == 0
    assert "no   executorch    pip install 'splitport[executorch]'" in capsys.readouterr().out
