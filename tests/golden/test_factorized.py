"""Models with a factorized prior against what the original implementations made of the same weights and pictures:
latents, symbols, tables, byte strings, decoder features."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from encoders import spec
from encoders.checkpoint import load, read_state
from encoders.device import DeviceEncoder
from encoders.prior import medians, tables
from runtime import coder
from tests.conftest import SHARED
from tests.golden import rans

GOLDEN = SHARED / "golden"
pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the original implementation's outputs are not at hand")
#: Folder -> model.
SETS = {
    "ours_n4": "ours_n4",
    "ours_n4_initq": "ours_n4",
    "matsubara2022wacv": "matsubara2022wacv",
    "sc2_FPBasedResNetBottleneck": "entropic_student_resnet50",
}


class Golden:
    """One golden set beside our model with its checkpoint."""

    def __init__(self, name: str) -> None:
        self.name, self.folder = name, GOLDEN / name
        self.expected = np.load(self.folder / "expected.npz")
        self.info = json.loads((self.folder / "info.json").read_text())
        self.spec = spec(SETS[name])
        self.model = self.spec.build().eval()
        load(self.model, self.folder / "checkpoint.pt", "encoder")
        self.prior = self.model.prior
        self.medians = medians(self.prior)
        self.pixels = np.stack([self._picture(i) for i in range(3)])

    def _picture(self, index: int) -> np.ndarray:
        from PIL import Image

        return np.asarray(Image.open(self.folder / f"input{index}.png"))

    def latents(self) -> np.ndarray:
        """Float path: normalise, then the encoder, as the paper's code does."""
        x = torch.from_numpy(self.pixels).permute(0, 3, 1, 2) / 255
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (self.spec.mean, self.spec.std))
        with torch.no_grad():
            return self.model.encoder((x - mean) / std).numpy()


@pytest.fixture(scope="module", params=SETS)
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(request.param)


def assert_symbols_equal(symbols: np.ndarray, latent: np.ndarray, expected: np.ndarray, rounding: float) -> None:
    """Equal, except where the latent lies within rounding of a half."""
    different = symbols != expected
    to_half = np.abs(np.abs(latent - np.rint(latent)) - 0.5)
    assert np.all(to_half[different] <= rounding)
    assert different.sum() <= 3


def test_latents(golden):
    assert np.abs(golden.latents() - golden.expected["z"]).max() < 1e-4


def test_symbols(golden):
    latent = golden.latents() - golden.medians[:, None, None]
    assert_symbols_equal(np.rint(latent), latent, golden.expected["symbols"], rounding=1e-4)


def test_folded_device_graph_gives_the_same_symbols(golden):
    """Normalisation inside the first convolution, medians inside the last: exact up to float rounding."""
    device = DeviceEncoder(golden.model, golden.spec).eval()
    with torch.no_grad():
        for pixels, expected in zip(golden.pixels, golden.expected["symbols"], strict=True):
            picture = torch.from_numpy(pixels.copy()).unsqueeze(0)
            symbols, latent = device(picture)[0].numpy(), device.latent(picture)[0].numpy()
            assert_symbols_equal(symbols, latent, expected, rounding=2e-4)


def test_medians(golden):
    assert np.array_equal(golden.medians, golden.expected["medians"])


def test_compressai_tables(golden):
    golden.prior.update(force=True)
    assert np.array_equal(golden.prior._quantized_cdf.numpy(), golden.expected["quantized_cdf"])
    assert np.array_equal(golden.prior._cdf_length.numpy().ravel(), golden.expected["cdf_length"])
    assert np.array_equal(golden.prior._offset.numpy().ravel(), golden.expected["offset"])


@pytest.mark.parametrize("index", range(3))
def test_original_byte_strings(golden, index):
    """From CompressAI's tables and the symbols, the very string that the original wrote, alone and in its pickle."""
    golden.prior.update(force=True)
    symbols = golden.expected["symbols"][index]
    string = rans.encode(
        symbols,
        golden.prior._quantized_cdf.numpy(),
        golden.prior._cdf_length.numpy().ravel(),
        golden.prior._offset.numpy().ravel(),
    )
    assert string == (golden.folder / f"string{index}.bin").read_bytes()
    if golden.name.startswith("sc2"):  # whose pickles hold more than plain types
        assert string == golden.expected[f"string{index}"].tobytes()
        return
    # The test data's own pickle of plain bytes and ints, made for this comparison; nothing else is ever unpickled.
    strings, grid = pickle.loads((golden.folder / f"payload{index}.bits").read_bytes())
    assert strings == [string] and tuple(grid) == symbols.shape[1:]


def test_original_strings_from_our_own_symbols(golden):
    """The same from the picture on, wherever no symbol fell on the other side of a half."""
    golden.prior.update(force=True)
    prior = golden.prior
    ours = np.rint(golden.latents() - golden.medians[:, None, None]).astype(int)
    equal = [i for i in range(3) if np.array_equal(ours[i], golden.expected["symbols"][i])]
    assert len(equal) >= 2
    for i in equal:
        string = rans.encode(
            ours[i], prior._quantized_cdf.numpy(), prior._cdf_length.numpy().ravel(), prior._offset.numpy().ravel()
        )
        assert string == (golden.folder / f"string{i}.bin").read_bytes()


def test_our_payloads_are_smaller_and_escapes_rare(golden):
    """Even with quantiles that nobody trained, where the original escapes hundreds of symbols a picture."""
    cells = int(np.prod(golden.expected["symbols"].shape[2:]))
    ours = tables(golden.prior, cells)
    high = ours.low + ours.bins.astype(int) - 2
    _, codec = coder.make(None, ours)
    for symbols, length in zip(golden.expected["symbols"], golden.expected["string_len"], strict=True):
        flat = symbols.reshape(len(ours.bins), -1)
        escapes = (flat < ours.low[:, None]) | (flat > high[:, None])
        assert escapes.sum() <= 2
        assert len(codec.encode(flat)) <= np.sum(length)
    assert golden.name != "ours_n4_initq" or golden.info["escapes"] == [157, 256, 437]


@pytest.mark.parametrize("name", [name for name in SETS if name != "ours_n4_initq"])
def test_decoder_features(name):
    golden = Golden(name)
    latent = torch.from_numpy(golden.expected["symbols"] + golden.medians[:, None, None])
    state = read_state(golden.folder / "checkpoint.pt")
    prefix = "bottleneck_layer.decoder."
    golden.model.bottleneck_layer.decoder.load_state_dict(
        {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
    )
    with torch.no_grad():
        features = golden.model.bottleneck_layer.decoder(latent.float()).numpy()
    assert features.shape == (3, 256, 56, 56)
    reference = golden.expected["decoder_feature_img0_ch0_32"]
    assert np.abs(features[0, :32] - reference).max() < 1e-3 * max(1, np.abs(reference).max())
    if "decoder_feature_sum" in golden.expected:
        sums = features.astype(np.float64).sum(axis=(2, 3))
        assert np.allclose(sums, golden.expected["decoder_feature_sum"], rtol=1e-3, atol=0.05)


@pytest.mark.parametrize("target", ["onnx", "tflite", "openvino", "executorch"])
def test_exported_bundles_give_the_golden_symbols(golden, target, make_bundle):
    """From the checkpoint through the exporter and the runtime: picture in, the original's integers out."""
    from runtime import Decoder, Encoder

    bundle: Path = make_bundle(golden.spec.name, target, checkpoint=golden.folder / "checkpoint.pt")
    encoder, decoder = Encoder.open(bundle, threads=1), Decoder.open(bundle)
    latents = golden.expected["z"] - golden.medians[:, None, None]
    for pixels, latent, expected, length in zip(
        golden.pixels, latents, golden.expected["symbols"], golden.expected["string_len"], strict=True
    ):
        symbols = encoder.symbols(pixels)
        assert_symbols_equal(symbols, latent, expected, rounding=2e-4)
        payload = encoder.encode(pixels)
        assert np.array_equal(decoder.symbols(payload), symbols)
        expected_latent = symbols.astype(np.float32) + golden.medians[:, None, None]
        assert np.array_equal(decoder.latent(payload), expected_latent)
        assert len(payload) - 12 <= np.sum(length)
