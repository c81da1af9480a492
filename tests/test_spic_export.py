"""SPIC through the exporter: depthwise convolutions on every target, both tasks from end to end, refusals, parts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from encoders.loading import load
from encoders.registry import MODELS
from encoders.systems.spic import SPICModel
from encoders.systems.spic_rows import ROWS
from runtime.errors import UsageError
from tests.depthwise import ROW as TINY
from tests.depthwise import SPEC, counter, of_unit, write_table


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> SPICModel:
    monkeypatch.setitem(MODELS, TINY.name, SPEC)
    return load(TINY.name).model


def exported(tmp_path: Path, target: str, precision: str, side: str = "encoder") -> Path:
    from export import Request, export

    output = tmp_path / f"{target}-{precision}-{side}"
    return export(Request(TINY.name, target, precision, side, output=output, weights="seeded")).path


def integer_depthwise(bundle: Path, target: str) -> bool:
    """Whether the graph's depthwise convolution computes in integers."""
    if target == "tflite":
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(str(bundle / "encoder.tflite"))
        kinds = {details["index"]: details["dtype"] for details in interpreter.get_tensor_details()}
        layers = [op for op in interpreter._get_ops_details() if op["op_name"] == "DEPTHWISE_CONV_2D"]
        return bool(layers) and all(kinds[index] == np.int8 for op in layers for index in op["inputs"][:2])
    if target == "openvino":
        text = (bundle / "encoder.xml").read_text()
        return "GroupConvolution" in text and "FakeQuantize" in text and 'element_type="i8"' in text
    if target == "onnx":
        import onnx

        graph = onnx.load(bundle / "encoder.onnx").graph
        made = {output: node.op_type for node in graph.node for output in node.output}
        layers = [n for n in graph.node if any(a.name == "group" and a.i == TINY.cut.width for a in n.attribute)]
        return len(layers) == 1 and all(made.get(name) == "DequantizeLinear" for name in layers[0].input[:2])
    return True  # sealed inside the delegate


@pytest.mark.parametrize("target", ["onnx", "tflite", "openvino", "executorch"])
def test_every_target(target, tiny, tmp_path, photographs):
    """Depthwise convolutions and steps that are not one, in real numbers and in 8 bits, on photographs."""
    from runtime import Decoder, Encoder

    bundles = [exported(tmp_path, target, precision) for precision in ("fp32", "int8")]
    assert integer_depthwise(bundles[1], target)
    agreement = []
    for photograph in photographs:
        real, whole = (Encoder.open(bundle, threads=1) for bundle in bundles)
        symbols, decoder = whole.symbols(photograph), Decoder.open(bundles[1])
        payload = whole.encode(photograph)
        assert np.array_equal(decoder.symbols(payload), symbols) and symbols.min() >= 0 and symbols.any()
        assert np.array_equal(decoder.latent(payload), symbols.astype(np.float32) * np.float32(TINY.step))
        agreement.append(float((symbols == real.symbols(photograph)).mean()))
    assert np.mean(agreement) > 0.9


def test_segmentation_from_end_to_end(tmp_path, photographs):
    """A class for each pixel of the picture, and what share of it each class has."""
    from export import Request, export
    from runtime import Encoder, Receiver

    common = {"size": 65, "weights": "seeded"}
    sender = export(Request("spic_seg_s3_3", "onnx", output=tmp_path / "sender", **common))
    receiver = export(Request("spic_seg_s3_3", "onnx", side="receiver", output=tmp_path / "receiver", **common))
    assert sender.manifest.codec == "histogram" and not sender.notes
    assert receiver.manifest.task == "segmentation" and len(receiver.manifest.class_names) == 21
    encoder, opened = Encoder.open(sender.path), Receiver.open(receiver.path, [sender.path])
    payload = encoder.encode(photographs[0])
    found = opened.predict(payload)
    assert found.map.shape == (65, 65) and found.map.dtype == np.uint8
    assert sum(share for _, share in found.ranked) == pytest.approx(1)
    names = receiver.manifest.class_names
    for name, share in found.ranked:
        assert share == pytest.approx((found.map == names.index(name)).mean())
    latent = torch.from_numpy(encoder.symbols(photographs[0]).astype(np.float32))
    with torch.no_grad():
        logits = load("spic_seg_s3_3").model.receive(latent[None])[0].numpy()
    assert (logits.argmax(axis=0) == found.map).mean() > 0.999


def test_classification_from_end_to_end(tiny, tmp_path, photographs):
    from runtime import Encoder, Receiver

    sender, receiver = (exported(tmp_path, "onnx", "fp32", side) for side in ("encoder", "receiver"))
    encoder, opened = Encoder.open(sender), Receiver.open(receiver, [sender])
    payload = encoder.encode(photographs[0])
    latent = torch.from_numpy(encoder.symbols(photographs[0]).astype(np.float32) * np.float32(TINY.step))
    with torch.no_grad():
        logits = tiny.receive(latent[None])[0].numpy()
    assert np.abs(opened.logits(payload) - logits).max() < 1e-4 * np.abs(logits).max()
    assert opened.predict(payload).best == tiny.class_names[logits.argmax()]


def test_one_branch_has_no_receiver(tmp_path, capsys):
    from export.commands import main

    for name in ("spic_seg_s1_0", "spic_seg_us1_4"):
        output = tmp_path / "receiver"
        assert main(["--model", name, "--target", "onnx", "--side", "receiver", "--output", str(output)]) == 2
        said = capsys.readouterr().err
        assert f"{name} has no receiver export" in said and "use a split S2, S3 or US2" in said
        assert not output.exists()


def test_what_must_be_sent_beside_the_payload_is_counted(tmp_path, photographs, capsys):
    from export import Request, export
    from profiling.measure import Meter
    from profiling.subjects import BundleEncoding
    from runtime.commands import main

    made = export(Request("spic_seg_s1_5", "onnx", size=65, output=tmp_path / "sender", weights="seeded"))
    beside = 4 * 2048 * 9 * 9
    assert made.manifest.side_channel_bytes == beside and any(f"{beside:,} B" in note for note in made.notes)
    assert main(["encode", str(made.path), str(photographs[0]), "-o", str(tmp_path / "out"), "--threads", "1"]) == 0
    assert f"{beside:,} bytes beside it" in capsys.readouterr().out
    meter = Meter(lambda: BundleEncoding(made.path, 1))
    (payload,) = meter.turn([meter.decode(photographs[0])])
    record = meter.record([meter.encoding.count(payload)], "test")
    sent = next((tmp_path / "out").glob("*.spl")).stat().st_size
    assert record.side_channel_bytes == beside and record.wire_bytes["mean"] == sent + beside
    assert record.bpp == pytest.approx(8 * (sent - 12 + beside) / 65**2)


def test_refusals_are_listed_and_targets_can_be_refused(tiny, monkeypatch, tmp_path, capsys):
    from export import Request, export
    from export.capabilities import capability_table
    from export.commands import main

    monkeypatch.setitem(MODELS, TINY.name, replace(tiny.spec, refused={"tflite": "it hurts"}))
    listed = capability_table()
    names = ", ".join(row.name for row in ROWS if row.task == "seg" and row.split in ("S1", "US1"))
    assert f"No receiver export of {names}: the payload holds one of the five branches" in listed
    assert f"No tflite export of {TINY.name}: it hurts." in listed
    assert main(["--model", TINY.name, "--target", "tflite", "--output", str(tmp_path / "bundle")]) == 2
    assert "has no tflite export: it hurts" in capsys.readouterr().err
    with pytest.raises(UsageError, match="it hurts"):
        export(Request(TINY.name, "tflite", output=tmp_path / "bundle"))
    assert not (tmp_path / "bundle").exists()


def test_the_command_line_takes_the_parts(tiny, tmp_path, capsys):
    from export.commands import main

    torch.save({"state_dict": of_unit(tiny)}, tmp_path / "unit.pth.tar")
    table = write_table(tmp_path / "mine.pickle", counter(TINY.step, {0: 5, 1: 4}))
    common = ["--model", TINY.name, "--target", "onnx", "--output", str(tmp_path / "bundle")]
    files = ["--checkpoint", str(tmp_path / "unit.pth.tar"), "--table", str(table)]
    assert main([*common, *files]) == 0
    said = capsys.readouterr().out
    assert "weights: checkpoint unit.pth.tar, backbone not trained (seed 0), table mine.pickle" in said
    assert main([*common, "--backbone", str(tmp_path / "none")]) == 2
    assert "backbone" in capsys.readouterr().err
    assert main(["--model", "ours_n0", "--target", "onnx", "--table", str(table)]) == 2
    assert "ours_n0 takes no --table" in capsys.readouterr().err
