"""SC2's bottlenecks: checkpoints as their training script wrote them, and the border of the picture."""

from __future__ import annotations

import argparse

import numpy as np
import pytest
import torch

from encoders import spec
from encoders.checkpoint import CheckpointError, load
from encoders.device import DeviceEncoder
from encoders.loading import load as load_model
from encoders.plain import PlainGDN, plain
from encoders.seeded import seeded

NAMES = ("entropic_student_resnet50", "shp_resnet50", "mshp_resnet50", "bmshj2018_factorized", "mbt2018_mean")


@pytest.fixture(scope="module", params=NAMES)
def loaded(request):
    return load_model(request.param, weights="seeded")


def normalised(loaded, pixels: np.ndarray) -> torch.Tensor:
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (loaded.spec.mean, loaded.spec.std))
    return (torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0) / 255 - mean) / std


def test_device_graph_is_the_network_to_the_border(loaded, pixels):
    """Every latent of every output, the outermost rows and columns looked at by themselves."""
    device = DeviceEncoder(loaded.model, loaded.spec).eval()
    picture = np.resize(pixels[1], (loaded.spec.size, loaded.spec.size, 3)).copy()
    with torch.no_grad():
        expected = loaded.model.encoder(normalised(loaded, picture))
        actual = device.latents(torch.from_numpy(picture).unsqueeze(0))
    expected = (expected,) if isinstance(expected, torch.Tensor) else expected
    for ours, theirs, output in zip(actual, expected, loaded.model.outputs, strict=True):
        difference = (ours - (theirs - torch.from_numpy(output.centre).view(1, -1, 1, 1))).abs()
        for part in (
            difference,
            difference[..., 0],
            difference[..., -1],
            difference[..., 0, :],
            difference[..., -1, :],
        ):
            assert part.max() < 1e-4 * max(1.0, float(theirs.abs().max()))


def test_folding_the_normalisation_would_change_the_border(pixels):
    """Why it is an operator: with pixels instead of normalised zeros behind the edge, symbols there are others."""
    loaded = load_model("entropic_student_resnet50", weights="seeded")
    first = loaded.model.encoder[0]
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (loaded.spec.mean, loaded.spec.std))
    picture = torch.from_numpy(pixels[1].copy()).permute(2, 0, 1).unsqueeze(0).float()
    with torch.no_grad():
        right = first((picture / 255 - mean) / std)
        folded = torch.nn.functional.conv2d(
            picture, first.weight / (255 * std), -(first.weight * mean / std).sum(dim=(1, 2, 3)), stride=2, padding=2
        )
    apart = (right - folded).abs()
    assert apart[:, :, 1:-1, 1:-1].max() < 1e-4 < 0.01 < apart[:, :, 0].max()


def test_gdn_in_plain_operators():
    from compressai.layers import GDN, GDN1

    x = torch.randn(1, 12, 5, 7, generator=torch.Generator().manual_seed(0))
    for kind in (GDN, GDN1):
        for inverse in (False, True):
            layer = kind(12, inverse=inverse)
            with torch.no_grad():
                layer.gamma += 0.1 * torch.rand(12, 12)
                made = plain(torch.nn.Sequential(layer))
                assert isinstance(made[0], PlainGDN)
                assert torch.allclose(made(x), layer(x), atol=1e-5)


def test_a_training_scripts_file(tmp_path):
    """torchdistill's layout: options of the script beside the weights, CDF buffers filled, layers of the tail."""
    model = seeded(spec("shp_resnet50"), seed=3)
    model.prior.update(force=True)
    model.bottleneck_layer.gaussian_conditional.update()
    options = argparse.Namespace(config="resnet50.yaml", seed=None, test_only=False)
    content = {"model": model.state_dict(), "optimizer": None, "best_value": 0.7, "lr_scheduler": None, "args": options}
    torch.save(content, tmp_path / "file.pt")
    for side in ("encoder", "receiver"):
        other = spec("shp_resnet50").build().eval()
        load(other, tmp_path / "file.pt", side)
        x = torch.randn(1, 3, 64, 64)
        with torch.no_grad():
            assert all(torch.equal(a, b) for a, b in zip(other.encoder(x), model.eval().encoder(x), strict=True))
    assert other.tables((55, 55)).id == model.tables((55, 55)).id


def test_options_that_would_run_code_are_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return (print, ("executed",))

    torch.save({"model": {"x": torch.zeros(1)}, "args": argparse.Namespace(trap=Trap())}, tmp_path / "file.pt")
    with pytest.raises(CheckpointError, match="not loaded for safety"):
        load(spec("entropic_student_resnet50").build(), tmp_path / "file.pt", "encoder")


@pytest.mark.parametrize("spelling", ["zoo", "1.2.7"])
def test_compressais_own_files(spelling, tmp_path):
    """Zoo files name the prior's tensors in a third way."""
    model = seeded(spec("mbt2018_mean"), seed=1)
    names = {"zoo": ("_matrices.", "_biases.", "_factors."), "1.2.7": ("matrices.", "biases.", "factors.")}[spelling]
    state = {}
    for key, value in model.state_dict().items():
        for ours, theirs in zip(("_matrix", "_bias", "_factor"), names, strict=True):
            key = key.replace(f"entropy_bottleneck.{ours}", f"entropy_bottleneck.{theirs}")
        state[key] = value
    torch.save(state, tmp_path / "file.pth.tar")
    other = spec("mbt2018_mean").build().eval()
    load(other, tmp_path / "file.pth.tar", "encoder")
    assert other.tables((16, 16)).id == model.tables((16, 16)).id


def test_the_hybrid_vits_receiver_in_plain_operators():
    """Standardised weights and group norms are the only operators of the receivers that some engine lacks."""
    model = seeded(spec("entropic_student_vit_small_r26_s32_224"), seed=2)
    made = plain(model)
    kinds = {type(module).__name__ for module in made.modules()}
    assert {"PlainStandardised", "PlainGroupNorm", "PlainGDN"} <= kinds and "GroupNormAct" not in kinds
    latent = torch.randn(2, 64, 55, 55, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(made.receive(latent), model.receive(latent), atol=1e-4)
