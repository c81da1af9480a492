"""SC2's scale hyperprior against what the original implementation made of the same weights and pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from encoders import spec
from encoders.checkpoint import load, read_state
from runtime import Decoder, Encoder, codecs
from runtime import coder as coders
from runtime.codecs import Message
from tests.conftest import SHARED
from tests.golden import rans

FOLDER = SHARED / "golden" / "sc2_SHPBasedResNetBottleneck"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the original implementation's outputs are not at hand")


@pytest.fixture(scope="module")
def expected():
    return np.load(FOLDER / "expected.npz")


@pytest.fixture(scope="module")
def model():
    made = spec("shp_resnet50").build().eval()
    load(made, FOLDER / "checkpoint.pt", "encoder")
    return made


@pytest.fixture(scope="module")
def tables(model):
    return model.tables((55, 55))


@pytest.fixture(scope="module")
def pixels():
    return np.stack([np.asarray(Image.open(FOLDER / f"input{i}.png")) for i in range(3)])


@pytest.fixture(scope="module")
def latents(model, pixels):
    known = spec("shp_resnet50")
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (known.mean, known.std))
    with torch.no_grad():
        y, z = model.encoder((torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std)
    return y.numpy(), z.numpy()


def test_latents(latents, expected):
    assert np.abs(latents[0] - expected["y"]).max() < 1e-4
    assert np.abs(latents[1] - expected["hyper_z"]).max() < 1e-4


def test_symbols(latents, model, expected):
    """Equal but where a latent lies within float rounding of a half."""
    medians = model.outputs[1].centre
    assert np.array_equal(medians, expected["medians"])
    for latent, symbols in (
        (latents[0], expected["y_symbols"]),
        (latents[1] - medians[:, None, None], expected["hyper_symbols"]),
    ):
        different = np.rint(latent) != symbols
        assert different.sum() <= 3
        assert np.all(np.abs(np.abs(latent - np.rint(latent))[different] - 0.5) < 1e-4)


def test_rows_of_the_scale_table(tables, expected):
    """The integer synthesis against the float one: the same row, or its neighbour where the scale lies on the edge."""
    edges = np.log(expected["gc_scale_table"].astype(np.float64))
    for symbols, rows, scales in zip(
        expected["hyper_symbols"], expected["indexes"], expected["gaussian_params"], strict=True
    ):
        ours, means = tables.hyper.synthesise(symbols.astype(np.int32))
        assert not means.any()
        different = ours != rows
        assert different.mean() < 0.002
        assert np.abs(ours.astype(int) - rows)[different].max() == 1
        nearest = np.abs(np.log(np.maximum(scales[different], 0.11))[:, None] - edges).min(axis=1)
        assert nearest.max() < 0.01  # two neighbouring rows are 0.12 apart


@pytest.mark.parametrize("index", range(3))
def test_exactness_costs_next_to_nothing(tables, expected, index):
    """Bytes with rows from integers against bytes with the rows that floating point gave; the goal was 0.5 %."""
    _, coder = coders.make_hyper(None, tables)
    side = expected["hyper_symbols"][index].astype(np.int32)
    symbols = expected["y_symbols"][index].astype(np.int32)
    ours = codecs.make("hyperprior", tables, None).encode(Message(symbols, side)).body
    theirs = coder.encode(side.reshape(16, -1), symbols.ravel(), expected["indexes"][index].ravel().astype(np.uint8))
    assert len(ours) <= 1.0005 * len(theirs)
    assert len(ours) <= 1.001 * expected["string_len"][index].sum()


@pytest.mark.parametrize("index", range(3))
def test_original_byte_strings(model, expected, index):
    """From the symbols and CompressAI's tables, both strings of the original."""
    prior = model.prior
    prior.update(force=True)
    cdf, length, offset = (getattr(prior, name).numpy() for name in ("_quantized_cdf", "_cdf_length", "_offset"))
    assert np.array_equal(cdf, expected["quantized_cdf"])
    string = rans.encode(expected["hyper_symbols"][index], cdf, length.ravel(), offset.ravel())
    assert string == expected[f"z_string{index}"].tobytes()
    assert (
        rans.encode_indexed(
            expected["y_symbols"][index],
            expected["indexes"][index],
            *(expected[f"gc_{name}"] for name in ("quantized_cdf", "cdf_length", "offset")),
        )
        == expected[f"y_string{index}"].tobytes()
    )


def test_decoder_features(model, expected):
    state = read_state(FOLDER / "checkpoint.pt")
    prefix = "bottleneck_layer.g_s."
    decoder = model.bottleneck_layer.g_s
    decoder.load_state_dict({k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)})
    with torch.no_grad():
        features = decoder(torch.from_numpy(expected["y_symbols"][:1]).float()).numpy()
    reference = expected["decoder_feature_img0_ch0_32"]
    assert np.abs(features[0, :32] - reference).max() < 1e-3 * max(1, np.abs(reference).max())


@pytest.mark.parametrize("target", ["onnx", "tflite", "openvino", "executorch"])
def test_exported_bundles_give_the_golden_symbols(target, make_bundle, pixels, expected):
    bundle = make_bundle("shp_resnet50", target, checkpoint=FOLDER / "checkpoint.pt")
    encoder, decoder = Encoder.open(bundle, threads=1), Decoder.open(bundle)
    for picture, symbols, side in zip(pixels, expected["y_symbols"], expected["hyper_symbols"], strict=True):
        message = encoder.message(picture)
        assert (message.symbols != symbols).sum() <= 3 and (message.side != side).sum() <= 3
        payload = encoder.encode(picture)
        assert np.array_equal(decoder.symbols(payload), message.symbols)
        assert np.array_equal(decoder.latent(payload), message.symbols.astype(np.float32))
