"""SC2's plain bottlenecks: published counts, key names, checkpoints, and the way to a prediction."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from calibration import Selection
from calibration.bundles import refit_bundle
from encoders import MODELS, spec
from encoders.checkpoint import CheckpointError, load
from encoders.costs import count_macs
from encoders.seeded import seeded
from export import Request, export
from runtime import Decoder, Encoder, Receiver
from runtime.preprocess import to_pixels

#: Channels -> parameters, MACs and bits of the encoder, parameters and MACs of the decoder: release 0.0.3.
RELEASED = {
    1: (158_016, 620_761_088, 5_085_440, 427_650, 1_359_059_200),
    2: (158_272, 621_682_688, 5_093_632, 427_908, 1_359_950_336),
    3: (158_528, 622_604_288, 5_101_824, 428_166, 1_360_841_472),
    6: (159_296, 625_369_088, 5_126_400, 428_940, 1_363_514_880),
    9: (160_064, 628_133_888, 5_150_976, 429_714, 1_366_188_288),
    12: (160_832, 630_898_688, 5_175_552, 430_488, 1_368_861_696),
}
#: Name -> parameters and MACs of the encoder without a stock stem, side of the latent, what the decoder puts out.
NOW = {
    "resnet50": (12_736, 120_597_504, 29, (512, 28, 28)),
    "densenet121": (12_760, 120_597_504, 29, (256, 14, 14)),
    "densenet169": (12_760, 120_597_504, 29, (256, 14, 14)),
    "densenet201": (12_760, 120_597_504, 29, (256, 14, 14)),
    "inception_v3": (12_736, 207_503_040, 37, (192, 35, 35)),
    "resnet50_layer1": (151_296, 512_884_736, 60, (256, 56, 56)),
    "resnet18_layer1_small": (151_296, 512_884_736, 60, (64, 56, 56)),
    "resnet34_layer1_small": (151_296, 512_884_736, 60, (64, 56, 56)),
}
STEM = (9_536, 118_013_952)  # a ResNet's own, which the layer1 variants run in front
CHEAP = "crbq_now_resnet50_c12"


def counts(module: torch.nn.Module, given: torch.Tensor) -> tuple[int, int, int]:
    """Parameters, MACs, and bits as SC2 counts them."""
    bits = sum(8 * value.itemsize * value.numel() for value in module.state_dict().values())
    return sum(p.numel() for p in module.parameters()), count_macs(module, given), bits


def test_what_a_model_does_not_say_is_asked_for():
    """A model without a prior, or without an ending that tells where its latent comes from."""
    from encoders.model import SplitModel
    from runtime.errors import UsageError

    class Silent(SplitModel):
        encoder = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())

    with pytest.raises(UsageError, match="no factorized prior"):
        _ = spec(CHEAP).build().prior
    with pytest.raises(UsageError, match="property `last`"):
        _ = Silent().last


def test_all_are_registered():
    names = [f"crbq_resnet50_c{channels}" for channels in RELEASED] + [f"crbq_now_{name}_c12" for name in NOW]
    assert sorted(names) == sorted(name for name in MODELS if name.startswith("crbq"))


@pytest.mark.parametrize("channels", RELEASED)
def test_released_counts_and_shapes(channels):
    described = spec(f"crbq_resnet50_c{channels}")
    model = described.build().eval()
    picture = torch.zeros(1, 3, 224, 224)
    parameters, macs, bits, decoder_parameters, decoder_macs = RELEASED[channels]
    assert counts(model.encoder, picture) == (parameters, macs, bits)
    assert (described.parameters, described.macs, described.bits) == (parameters, macs, bits)
    latent = model.encoder(picture)
    assert latent.shape == (1, channels, 60, 60) and described.grid(224) == (60, 60)
    decoder = model.bottleneck_layer.decoder
    assert counts(decoder, latent)[:2] == (decoder_parameters, decoder_macs)
    assert decoder(latent).shape == (1, 256, 56, 56)


@pytest.mark.parametrize("name", NOW)
def test_todays_counts_and_shapes(name):
    described = spec(f"crbq_now_{name}_c12")
    model = described.build().eval()
    parameters, macs, side, features = NOW[name]
    picture = torch.zeros(1, 3, described.size, described.size)
    stem = STEM if "layer1" in name else (0, 0)
    found = counts(model.encoder, picture)
    assert found == (described.parameters, described.macs, described.bits)
    assert found[:2] == (parameters + stem[0], macs + stem[1])
    with torch.no_grad():
        latent = model.encoder(picture)
        assert latent.shape == (1, 12, side, side) and described.grid(described.size) == (side, side)
        assert model.bottleneck_layer.decoder(latent).shape == (1, *features)
        assert model.receive(latent).shape == (1, 1000)


def norm(name: str) -> set[str]:
    return {f"{name}.{part}" for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")}


def of(prefix: str, convolutions: tuple[int, ...], norms: tuple[int, ...]) -> set[str]:
    weights = {f"{prefix}.{index}.weight" for index in convolutions}
    return weights.union(*(norm(f"{prefix}.{index}") for index in norms))


LAYERS = {
    "crbq_resnet50_c3": ((0, 4, 6, 9, 11), (1, 5, 7, 10), (2, 4, 7, 9), (0, 3, 5, 8, 10)),
    "crbq_now_resnet50_c12": ((0, 6), (1, 4), (2, 5, 8, 11), (0, 3, 6, 9, 12)),
    "crbq_now_densenet169_c12": ((0, 6), (1, 4, 7), (1, 4, 7, 10, 13), (2, 5, 8, 11, 14)),
    "crbq_now_inception_v3_c12": ((0, 6), (1, 4), (2, 5, 8), (0, 3, 6, 9)),
    "crbq_now_resnet50_layer1_c12": ((0, 2, 5, 7), (1, 3, 6), (2, 4, 7, 9), (0, 3, 5, 8, 10)),
    "crbq_now_resnet18_layer1_small_c12": ((0, 2, 5, 7), (1, 3, 6), (2, 4, 7, 9), (0, 3, 5, 8, 10)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_key_names(name):
    convolutions, norms, back, back_norms = LAYERS[name]
    model = spec(name).build()
    keys = set(model.state_dict())
    encoder = of("bottleneck_layer.encoder", convolutions, norms)
    decoder = of("bottleneck_layer.decoder", back, back_norms)
    assert {key for key in keys if key.startswith("bottleneck_layer.")} == encoder | decoder
    if "layer1" in name:
        encoder |= {"conv1.weight"} | norm("bn1")
    assert {key for key in keys if key.startswith(model.encoder_keys)} == encoder
    assert {key for key in keys if key.startswith(model.receiver_keys)} == keys - encoder


@pytest.mark.parametrize(
    ("name", "backbone", "first", "rename"),
    [
        ("crbq_resnet50_c1", "resnet50", ("layer2.", "layer3.", "layer4.", "fc."), str),
        (CHEAP, "resnet50", ("layer3.", "layer4.", "fc."), str),
        ("crbq_now_resnet34_layer1_small_c12", "resnet34", ("layer2.", "layer3.", "layer4.", "fc."), str),
        (
            "crbq_now_densenet169_c12",
            "densenet169",
            (
                "features.denseblock3.",
                "features.transition3.",
                "features.denseblock4.",
                "features.norm5.",
                "classifier.",
            ),
            str,
        ),
        (
            "crbq_now_inception_v3_c12",
            "inception_v3",
            ("Mixed_", "fc."),
            lambda key: key if key.startswith("fc.") else f"inception_modules.{key}",
        ),
    ],
    ids=["released", "resnet", "small", "densenet", "inception"],
)
def test_tails_are_torchvisions_own(name, backbone, first, rename):
    """By name, by shape, and by what they compute."""
    import torchvision

    more = {"init_weights": False} if backbone == "inception_v3" else {}
    stock = getattr(torchvision.models, backbone)(weights=None, **more).eval()
    theirs = {rename(key): value for key, value in stock.state_dict().items() if key.startswith(first)}
    model = spec(name).build().eval()
    ours = model.state_dict()
    tail = {key for key in ours if not key.startswith(("bottleneck_layer.", "conv1.", "bn1."))}
    assert tail == set(theirs)
    assert all(ours[key].shape == value.shape for key, value in theirs.items())
    model.load_state_dict(theirs, strict=False)
    entry = {"densenet169": "features.denseblock3", "inception_v3": "Mixed_5b"}.get(backbone, first[0][:-1])
    picture = torch.randn(1, 3, spec(name).size, spec(name).size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        latent = model.encoder(picture)
        features = model.bottleneck_layer.decoder(latent)
        stock.get_submodule(entry).register_forward_pre_hook(lambda *_: features)
        expected, actual = stock(picture), model.receive(latent)
    assert torch.allclose(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def trained():
    return seeded(spec("crbq_resnet50_c2"), 5)


@pytest.fixture(scope="module")
def checkpoint(trained, tmp_path_factory) -> Path:
    """As torchdistill writes it, with the options that training was called with."""
    path = tmp_path_factory.mktemp("checkpoints") / "ilsvrc2012-bq2ch_from_resnet50.pt"
    content = {
        "model": trained.state_dict(),
        "optimizer": {"state": {}, "param_groups": [{"lr": 1e-3}]},
        "best_value": 70.1,
        "lr_scheduler": {"milestones": {5: 1, 10: 1}, "last_epoch": 20},
        "args": argparse.Namespace(config="configs/ghnd-bq.yaml", device="cuda", epochs=20, world_size=1),
    }
    torch.save(content, path)
    return path


@pytest.mark.parametrize("side", ["encoder", "receiver"])
def test_torchdistill_checkpoint(trained, checkpoint, side):
    model = spec("crbq_resnet50_c2").build().eval()
    load(model, checkpoint, side)
    picture = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(model.receive(model.encoder(picture)), trained.receive(trained.encoder(picture)))


def test_checkpoint_of_another_width(checkpoint):
    with pytest.raises(CheckpointError, match="mis-shaped: bottleneck_layer"):
        load(spec("crbq_resnet50_c3").build(), checkpoint, "encoder")


def test_bottleneck_named_after_the_stage_it_replaces(tmp_path):
    name = "crbq_now_resnet18_layer1_small_c12"
    given = spec(name).build()
    state = {key.replace("bottleneck_layer.", "layer1."): value for key, value in given.state_dict().items()}
    torch.save({"model": state}, tmp_path / "checkpoint.pt")
    model = spec(name).build()
    load(model, tmp_path / "checkpoint.pt", "receiver")
    load(model, tmp_path / "checkpoint.pt", "encoder")
    assert all(torch.equal(model.state_dict()[key], value) for key, value in given.state_dict().items())


def test_from_a_picture_to_a_prediction(trained, checkpoint, make_bundle, pixels):
    bundle = make_bundle("crbq_resnet50_c2", "onnx", checkpoint=checkpoint)
    receiver = make_bundle("crbq_resnet50_c2", "onnx", checkpoint=checkpoint, side="receiver")
    encoder, server = Encoder.open(bundle, threads=1), Receiver.open(receiver, threads=1)
    for picture in pixels:
        payload = encoder.encode(picture)
        assert len(payload) == 2 * 60 * 60 + 6 + 12
        latent = Decoder.open(bundle).latent(payload)
        real = encoder.outputs(picture)[0]
        assert np.abs(latent - real).max() <= (real.max() - real.min()) / 255
        with torch.no_grad():
            logits = trained.receive(torch.from_numpy(latent).unsqueeze(0))[0].numpy()
        assert np.allclose(server.logits(payload), logits, atol=2e-4 * max(1, np.abs(logits).max()))
        assert server.predict(payload).best == trained.class_names[int(logits.argmax())]


def test_another_size(make_bundle, photographs):
    """A bundle for small pictures writes its grid out, and any decoder of the model reads that."""
    small, usual = make_bundle(CHEAP, "onnx", size=96), make_bundle(CHEAP, "onnx")
    payload = Encoder.open(small, threads=1).encode(photographs[0])
    assert Decoder.open(usual).symbols(payload).shape == (12, 13, 13)
    assert len(payload) == 12 * 13 * 13 + 6 + 12 + 4


@pytest.fixture(scope="module")
def folder(photographs, tmp_path_factory) -> Path:
    """Parts of photographs, enough to fit tables to and to check them on."""
    path = tmp_path_factory.mktemp("pictures")
    for name in photographs:
        with Image.open(name) as picture:
            for i in range(12):
                left, top = 50 * (i % 4), 60 * (i // 4)
                picture.crop((left, top, left + 300, top + 300)).save(path / f"{name.stem}{i}.png")
    return path


def test_tables_are_fitted_at_export(folder, pixels, tmp_path, make_bundle):
    """Fewer bytes than raw, which the export tells; a receiver needs the new tables."""
    done = export(Request(CHEAP, "onnx", calibration=Selection(str(folder)), output=tmp_path / "fitted"))
    raw = make_bundle(CHEAP, "onnx")
    (note,) = (line for line in done.notes if "payload" in line)
    assert "10098.0 B as raw bytes" in note and "% less" in note
    assert done.manifest.codec == "affine"
    sender, plain = Encoder.open(done.path, threads=1), Encoder.open(raw, threads=1)
    assert np.array_equal(sender.symbols(pixels[0]), plain.symbols(pixels[0]))
    payload = sender.encode(pixels[0])
    assert len(payload) < 0.9 * len(plain.encode(pixels[0]))
    assert np.array_equal(Decoder.open(raw, tables=[done.path]).symbols(payload), sender.symbols(pixels[0]))


@pytest.mark.parametrize("codec", ["plain", "context"])
def test_refit(codec, folder, pixels, tmp_path, make_bundle):
    raw = make_bundle(CHEAP, "onnx")
    done = refit_bundle(raw, Selection(str(folder)), tmp_path / "refitted", codec)
    assert done.bytes_before == 12 * 29 * 29 + 6 and done.bytes_after < 0.9 * done.bytes_before
    manifest = json.loads((tmp_path / "refitted" / "manifest.json").read_text())
    assert manifest["codec"] == "affine"
    encoder = Encoder.open(tmp_path / "refitted", threads=1)
    payload = encoder.encode(pixels[1])
    assert np.array_equal(Decoder.open(tmp_path / "refitted").symbols(payload), encoder.symbols(pixels[1]))


@pytest.mark.parametrize(
    ("name", "target", "last"),
    [(CHEAP, "onnx", 1), (CHEAP, "tflite", 1), (CHEAP, "openvino", 1), ("crbq_resnet50_c1", "executorch", 4)],
)
def test_int8_leaves_the_latent_real(name, target, last, folder, photographs, tmp_path, make_bundle):
    """8 bits inside, but what comes out is as fine as float32, and near it; a single channel, too."""
    request = Request(name, target, "int8", size=96, calibration=Selection(str(folder)), output=tmp_path / "int8")
    done = export(request)
    assert done.manifest.codec == "affine" and done.manifest.parity["kept_float"] == [last]
    assert done.manifest.graph_output["dtype"] == "float32"
    assert any("payload, raw bytes" in line for line in done.notes)
    encoder, real = Encoder.open(done.path, threads=1), Encoder.open(make_bundle(name, "onnx", size=96), threads=1)
    for path in photographs:
        picture = to_pixels(path, 96)
        actual, expected = encoder.outputs(picture)[0], real.outputs(picture)[0]
        assert actual.dtype == np.float32 and len(np.unique(actual)) > 500
        assert np.square(actual - expected).mean() < 0.03 * expected.var(axis=(1, 2)).mean()
        payload = encoder.encode(picture)
        assert np.array_equal(Decoder.open(done.path).symbols(payload), encoder.symbols(picture))


def test_one_channel_in_executorch(make_bundle, photographs):
    """Its strides fit both memory orders, of which the delegate would take the wrong one."""
    size = {"size": 96}
    actual, expected = (
        Encoder.open(make_bundle("crbq_resnet50_c1", target, **size), threads=1).outputs(to_pixels(photographs[0], 96))
        for target in ("executorch", "onnx")
    )
    assert actual[0].shape == (1, 28, 28) and np.allclose(actual[0], expected[0], atol=1e-4)
