"""Registry, layer counts of the paper, checkpoints in every layout, seeded weights."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from encoders import MODELS, register, spec
from encoders.checkpoint import fill, load, read_state
from encoders.device import DeviceEncoder
from encoders.loading import load as load_model
from encoders.prior import medians, tables
from encoders.seeded import seeded
from runtime.errors import UnknownName, UsageError
from runtime.tables import TOTAL, WIDEST

#: Parameters of decoder and of the whole model: the published networks.
PUBLISHED = {
    "ours_n0": (2_835_712, 28_204_264),
    "ours_n4": (2_835_712, 28_794_856),
    "ours_n8": (2_835_712, 29_385_448),
    "matsubara2022wacv": (1_164_032, 26_635_856),
}


@pytest.mark.parametrize("name", [*PUBLISHED, *(f"{name}_enc" for name in list(PUBLISHED)[:3])])
def test_published_parameter_counts(name):
    model = spec(name).build()
    decoder, total = PUBLISHED[name.removesuffix("_enc")]
    assert sum(p.numel() for p in model.bottleneck_layer.decoder.parameters()) == decoder
    assert sum(p.numel() for p in model.parameters()) == total
    assert len([k for k in model.state_dict() if k.startswith(("layer", "fc"))]) == 254


def test_unknown_and_repeated_names():
    with pytest.raises(UnknownName, match="did you mean 'ours_n4'"):
        spec("our_n4")
    with pytest.raises(ValueError, match="registered already"):
        register(dataclasses.replace(spec("ours_n4"), summary="another"))
    assert MODELS["ours_n4"].summary != "another"


@pytest.mark.parametrize(("size", "grid"), [(224, (28, 28)), (8, (1, 1)), (256, (32, 32))])
def test_grid(size, grid):
    assert spec("ours_n4").grid(size) == grid


@pytest.mark.parametrize("size", [0, 7, 225, -8])
def test_sizes_that_do_not_fit(size):
    with pytest.raises(UsageError, match="multiple of 8"):
        spec("ours_n4").grid(size)


@pytest.fixture(scope="module")
def trained():
    return seeded(spec("ours_n0"), seed=3)


def _layouts(state: dict[str, torch.Tensor]) -> dict[str, object]:
    newer = {
        k.replace("._matrix", ".matrices.").replace("._bias", ".biases.").replace("._factor", ".factors."): v
        for k, v in state.items()
    }
    filled = dict(state)
    prefix = "bottleneck_layer.entropy_bottleneck."
    filled[prefix + "_quantized_cdf"] = torch.zeros(64, 23, dtype=torch.int32)
    filled[prefix + "_offset"] = filled[prefix + "_cdf_length"] = torch.zeros(64, dtype=torch.int32)
    sender = {k: v for k, v in state.items() if ".encoder." in k or ".entropy_bottleneck." in k}
    return {
        "published": {"model": state},
        "training": {"model": state, "optimizer": {"state": {}}, "scaler": {}, "epoch": 19, "results": {"top1": 71.4}},
        "ema": {"model": state, "epoch": 19, "results": {"top1": np.float64(71.4), "n": np.int64(5)}},
        "bare": state,
        "parallel": {"model": {f"module.{k}": v for k, v in state.items()}},
        "newer spelling": {"model": newer},
        "filled tables": {"model": filled},
        "encoder only": {"model": sender},
        "bottleneck only, no prefix": {k.removeprefix("bottleneck_layer."): v for k, v in sender.items()},
        "no constants": {
            k: v
            for k, v in state.items()
            if not k.endswith(("target", "bound", "_offset", "_cdf_length", "_quantized_cdf"))
        },
    }


LAYOUTS = ["published", "training", "ema", "bare", "parallel", "newer spelling", "filled tables", "encoder only",
           "bottleneck only, no prefix", "no constants"]  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_loads_to_the_same_weights(layout, trained, tmp_path):
    layouts = _layouts(trained.state_dict())
    assert list(layouts) == LAYOUTS
    path = tmp_path / "checkpoint.pt"
    torch.save(layouts[layout], path)
    model = spec("ours_n0").build()
    load(model, path, "encoder")
    for name in ("encoder", "prior"):
        ours, theirs = getattr(model, name).state_dict(), getattr(trained, name).state_dict()
        assert all(
            torch.equal(ours[k], theirs[k])
            for k in theirs
            if theirs[k].numel() and "_cdf" not in k and "_offset" not in k
        )


def test_safetensors(trained, tmp_path):
    from safetensors.torch import save_file

    save_file({k: v for k, v in trained.state_dict().items() if v.numel()}, tmp_path / "weights.safetensors")
    state = read_state(tmp_path / "weights.safetensors")
    model = spec("ours_n0").build()
    fill(model, state, "receiver", "weights")
    assert torch.equal(model.fc.weight, trained.fc.weight)


def test_seeded_weights_are_repeatable_and_say_what_they_are():
    first, second = load_model("ours_n0", weights="seeded"), load_model("ours_n0", weights="seeded")
    for a, b in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert "not trained" in first.weights and first.checkpoint_sha256 is None


def test_seeded_latents_live_and_their_prior_fits(pixels):
    """Between dead and lively channels, priced by a prior that knows them: a payload of a useful size."""
    from runtime import coder

    loaded = load_model("ours_n4", weights="seeded")
    device = DeviceEncoder(loaded.model, loaded.spec).eval()
    with torch.no_grad():
        symbols = [device(torch.from_numpy(p.copy()).unsqueeze(0))[0].reshape(64, -1).numpy() for p in pixels]
    alive = np.mean([s.any(axis=1).mean() for s in symbols])
    assert 0.1 < alive < 0.95
    _, made = coder.make(None, tables(loaded.model.prior, 784))
    assert all(300 < len(made.encode(s)) < 6000 for s in symbols)


def test_fold_is_refused_where_it_would_not_be_exact():
    """A padded first layer keeps the normalisation as an operator, and its border pixels are right."""
    model = seeded(spec("ours_n0"), seed=1)
    model.bottleneck_layer.encoder[0] = torch.nn.Conv2d(3, 128, 8, stride=8, padding=8)
    device = DeviceEncoder(model, spec("ours_n0")).eval()
    pixels = torch.randint(0, 256, (1, 32, 32, 3), dtype=torch.uint8)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (spec("ours_n0").mean, spec("ours_n0").std))
    with torch.no_grad():
        expected = model.encoder((pixels.permute(0, 3, 1, 2) / 255 - mean) / std)
        centre = torch.from_numpy(medians(model.prior)).view(1, -1, 1, 1)
        assert torch.allclose(device.latent(pixels), expected - centre, atol=1e-5)


def test_tables_hold_all_but_a_millionth_of_the_mass(trained):
    made = tables(trained.prior, 784)
    escape = np.array([made.row_weights(c)[-1] for c in range(64)], dtype=float)
    assert escape.max() <= TOTAL * 2.0**-20 + 1
    assert made.low.max() <= -1 and made.low.min() >= -WIDEST
    assert np.array_equal(made.medians, medians(trained.prior))


def test_tables_follow_the_distribution_not_the_quantiles():
    """Published files hold quantiles of -10, 0, 10 whatever the prior has learnt."""
    model = seeded(spec("ours_n0"), seed=4)
    before = tables(model.prior, 784)
    with torch.no_grad():
        model.prior.quantiles[:, 0, 0], model.prior.quantiles[:, 0, 2] = -10, 10
    after = tables(model.prior, 784)
    assert np.array_equal(before.weights, after.weights) and np.array_equal(before.bins, after.bins)


def test_table_probabilities_are_the_priors(trained):
    """Against CompressAI's own likelihood of each symbol."""
    made = tables(trained.prior, 784)
    for channel in (0, 17, 63):
        high = int(made.low[channel] + made.bins[channel]) - 2
        values = torch.arange(int(made.low[channel]), high + 1).float() + made.medians[channel].item()
        wide = values.repeat(64, 1).unsqueeze(1)
        with torch.no_grad():
            likelihood, _, _ = trained.prior._likelihood(wide)
        ours = made.row_weights(channel)[:-1] / TOTAL
        assert np.allclose(ours, likelihood[channel, 0].numpy(), atol=2e-6)
