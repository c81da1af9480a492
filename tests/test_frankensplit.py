"""FrankenSplit: its layers against the published figures and against timm's, checkpoints, exports of both sides."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from compressai.entropy_models import EntropyBottleneck
from timm.models.swin_transformer import PatchMerging, SwinTransformerBlock

from encoders import spec
from encoders.checkpoint import CheckpointError, fill
from encoders.costs import count_macs
from encoders.loading import load
from encoders.model import SplitModel
from encoders.seeded import pictures, seeded
from encoders.systems.frankensplit import AnalysisCNN
from encoders.systems.swin import PatchMerge, SwinBlock
from export import Request, export
from runtime import Decoder, Encoder, Receiver
from runtime.errors import UsageError

MODELS = ("frankensplit_swin", "frankensplit_cnn")
SYNTHESIS = "compression_module.g_s."
FINAL = f"{SYNTHESIS}final_layer."
State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def model() -> SplitModel:
    """With seeded weights."""
    return seeded(spec("frankensplit_swin"), seed=0)


@pytest.fixture(scope="module")
def other() -> SplitModel:
    """The same network for loading into; what a test leaves in it is nobody's business."""
    return spec("frankensplit_swin").build().eval()


@pytest.fixture(scope="module")
def latents() -> torch.Tensor:
    return torch.randn(2, 48, 28, 28, generator=torch.Generator().manual_seed(1)).round()


# Layers -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parameters", "bits", "macs", "side"),
    [
        ("frankensplit_swin", 141_696, 4_534_272, 530_460_672, 28),
        ("frankensplit_cnn", 542_352, 17_355_648, 2_235_165_696, 56),
    ],
)
def test_published_figures(name, parameters, bits, macs, side):
    registered = spec(name)
    encoder = registered.build().eval().encoder
    assert sum(p.numel() for p in encoder.parameters()) == parameters == registered.parameters
    assert 32 * sum(v.numel() for v in encoder.state_dict().values()) == bits == registered.bits
    assert count_macs(encoder, torch.zeros(1, 3, 224, 224)) == macs == registered.macs
    for size in (224, 256, 232):
        with torch.no_grad():
            latent = encoder(torch.zeros(1, 3, size, size))
        assert latent.shape == (1, 48, *registered.grid(size))
    assert registered.grid(224) == (side, side)


def test_published_figures_of_the_narrower_alternative():
    encoder = AnalysisCNN(24).eval()
    assert sum(p.numel() for p in encoder.parameters()) == 139_272
    with torch.no_grad():
        assert encoder(torch.zeros(1, 3, 224, 224)).shape == (1, 24, 56, 56)


def _block_keys(channels: int, heads: int) -> dict[str, tuple[int, ...]]:
    c = channels
    return {
        "norm1.weight": (c,), "norm1.bias": (c,), "attn.relative_position_bias_table": (169, heads),
        "attn.relative_position_index": (49, 49), "attn.qkv.weight": (3 * c, c), "attn.qkv.bias": (3 * c,),
        "attn.proj.weight": (c, c), "attn.proj.bias": (c,), "norm2.weight": (c,), "norm2.bias": (c,),
        "mlp.fc1.weight": (4 * c, c), "mlp.fc1.bias": (4 * c,), "mlp.fc2.weight": (c, 4 * c), "mlp.fc2.bias": (c,),
    }  # fmt: skip


def _pair_keys(channels: int, heads: int) -> dict[str, tuple[int, ...]]:
    """Of two blocks, of which the second one is shifted."""
    keys = {f"blocks.{i}.{k}": shape for i in (0, 1) for k, shape in _block_keys(channels, heads).items()}
    return keys | {"blocks.1.attn_mask": (16, 49, 49)}


def _residual_keys(inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    shapes = {"conv1": (outputs, inputs, 3, 3), "conv2": (outputs, outputs, 3, 3), "skip": (outputs, inputs, 1, 1)}
    return {f"{k}.weight": v for k, v in shapes.items()} | {f"{k}.bias": (outputs,) for k in shapes}


def _shapes(state: State, prefix: str) -> dict[str, tuple[int, ...]]:
    return {k.removeprefix(prefix): tuple(v.shape) for k, v in state.items() if k.startswith(prefix)}


def test_names_and_shapes_are_the_published_ones(model):
    state = model.state_dict()
    analysis = {
        f"{block}.{k}": shape
        for block, widths in {"rb1": (3, 48), "rb2": (48, 64), "rb3": (64, 48)}.items()
        for k, shape in _residual_keys(*widths).items()
    }
    assert len(analysis) == 18 and _shapes(state, "compression_module.g_a.") == analysis
    final = _pair_keys(192, 4) | {
        "sample.reduction.weight": (384, 768), "sample.norm.weight": (768,), "sample.norm.bias": (768,),
        "norm.weight": (384,), "norm.bias": (384,),
    }  # fmt: skip
    assert len(final) == 34 and _shapes(state, FINAL) == final
    assert _shapes(state, f"{SYNTHESIS}deconv_embed.0.") == _residual_keys(48, 96)
    stage = _pair_keys(96, 3) | {f"conv.{k}": shape for k, shape in _residual_keys(96, 192).items()}
    assert _shapes(state, f"{SYNTHESIS}hybrid_stages.0.") == stage
    assert len(_shapes(state, "compression_module.entropy_bottleneck.")) == 20
    assert len(_shapes(state, SYNTHESIS)) == 34 + 6 + len(stage)
    backbone = {k.split(".")[2] for k in state if k.startswith("backbone.layers.")}
    assert backbone == {"2", "3"} and {k.split(".")[0] for k in state} == {
        "compression_module", "backbone", "reconstruction_layer"
    }  # fmt: skip


def test_final_layer_is_one_layer_under_two_names(model):
    assert model.reconstruction_layer is model.compression_module.g_s.final_layer
    state = model.state_dict()
    twice = {k for k in state if k.startswith("reconstruction_layer.")}
    assert len(twice) == 34
    assert all(state[k].data_ptr() == state[FINAL + k.partition(".")[2]].data_ptr() for k in twice)


def test_names_of_the_alternative():
    state = AnalysisCNN(48).state_dict()
    assert {k: tuple(v.shape) for k, v in state.items() if k.endswith("conv.weight")} == {
        "layers.0.conv.weight": (192, 3, 5, 5),
        "layers.1.conv.weight": (96, 192, 5, 5),
        "layers.2.conv.weight": (48, 96, 2, 2),
    }
    assert {k.split(".")[2] for k in state} == {"conv", "igdn"} and not any(k.endswith("conv.bias") for k in state)


def test_synthesis_gives_the_backbones_tokens(model, latents):
    synthesis = model.compression_module.g_s
    assert sum(p.numel() for p in synthesis.parameters()) == 2_058_974
    with torch.no_grad():
        tokens = synthesis(latents)
        assert tokens.shape == (2, 196, 384)
        assert model.receive(latents).shape == (2, 1000) and len(model.class_names) == 1000


def test_residual_block_ends_in_a_sum(model):
    """Nothing follows the sum, so that a latent has both signs, though each of its terms but the skip has one."""
    block = model.compression_module.g_a.rb3
    x = torch.randn(1, 64, 56, 56)
    with torch.no_grad():
        inner = torch.relu(block.conv2(torch.relu(block.conv1(x))))
        assert torch.allclose(block(x), inner + block.skip(x), atol=1e-6)
        assert (block(x) < 0).any() and (block(x) > 0).any()


# Attention ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("channels", "heads"), [(96, 3), (192, 4)])
@pytest.mark.parametrize("shift", [0, 3])
def test_block_computes_what_timms_does(channels, heads, shift):
    torch.manual_seed(shift + channels)
    ours = SwinBlock(channels, heads, side=28, shift=shift).eval()
    torch.nn.init.normal_(ours.attn.relative_position_bias_table)
    theirs = SwinTransformerBlock(channels, (28, 28), heads, window_size=7, shift_size=shift).eval()
    kept = {k: v for k, v in ours.state_dict().items() if "relative_position_index" not in k and "attn_mask" not in k}
    theirs.load_state_dict(kept)
    assert torch.equal(ours.attn.relative_position_index, theirs.attn.relative_position_index)
    assert theirs.attn_mask is ours.attn_mask is None or torch.equal(ours.attn_mask, theirs.attn_mask)
    grid = torch.randn(2, 28, 28, channels)
    with torch.no_grad():
        assert torch.allclose(ours(grid), theirs(grid), atol=1e-5)


def test_places_apart_do_not_see_each_other():
    """A change in the top left corner reaches its own shifted window alone, not the ones around the edge."""
    torch.manual_seed(0)
    block = SwinBlock(96, 3, side=28, shift=3).eval()
    grid = torch.randn(1, 28, 28, 96)
    changed = grid.clone()
    changed[0, 0, 0] = torch.randn(96)
    with torch.no_grad():
        moved = (block(changed) - block(grid)).abs().amax(dim=(0, 3)) > 1e-6
    expected = torch.zeros(28, 28, dtype=torch.bool)
    expected[:3, :3] = True
    assert torch.equal(moved, expected)


def test_patch_merge_computes_what_timms_does():
    ours, theirs = PatchMerge(192).eval(), PatchMerging(192).eval()
    theirs.load_state_dict(ours.state_dict())
    grid = torch.randn(2, 28, 28, 192)
    with torch.no_grad():
        assert torch.allclose(ours(grid), theirs(grid), atol=1e-5)


def test_backbone_goes_on_where_the_stock_network_was_cut(other):
    """Stock Swin up to the patch merge behind its second stage, then our tail: the stock network's logits."""
    whole = timm.create_model("swin_s3_base_224", pretrained=False).eval()
    tail = {
        f"backbone.{k}": v
        for k, v in whole.state_dict().items()
        if k.startswith(("layers.2", "layers.3", "norm", "head"))
    }
    assert "backbone.layers.2.downsample.reduction.weight" in tail
    fill(other, {**other.state_dict(), **tail}, "receiver", "stock")
    picture = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        features = whole.layers[1](whole.layers[0](whole.patch_embed(picture)))
        tokens = whole.layers[2].downsample(features).flatten(1, 2)
        assert tokens.shape == (1, 196, 384)
        assert torch.allclose(other.backbone(tokens), whole(picture), atol=1e-5)


# Checkpoints --------------------------------------------------------------------------------------------------------


def _older_timm(state: State) -> State:
    """As timm 0.8.6 named the backbone, with the constants that it saved."""
    renamed = {
        k.replace("backbone.layers.3.downsample.", "backbone.layers.2.downsample.").replace("head.fc.", "head."): v
        for k, v in state.items()
    }
    index = {f"backbone.layers.{s}.blocks.0.attn.relative_position_index": torch.zeros(n, n, dtype=torch.int64)
             for s, n in ((2, 196), (3, 49))}  # fmt: skip
    return renamed | index


def _without(state: State, prefix: str) -> State:
    return {k: v for k, v in state.items() if not k.startswith(prefix)}


def _saliency(state: State) -> State:
    cam = EntropyBottleneck(1).state_dict()
    return state | {f"compression_module.eb_cam.{k}": v for k, v in cam.items()}


def _newer_timm_whole(state: State) -> State:
    """With the patch merge that our third stage does without."""
    prefix = "backbone.layers.2.downsample."
    merge = PatchMerging(192).state_dict()
    return state | {prefix + k: v for k, v in merge.items()}


WHOLE = {
    "whole": lambda state: state,
    "without the second name": lambda state: _without(state, "reconstruction_layer."),
    "without the first name": lambda state: _without(state, FINAL),
    "with a saliency prior": _saliency,
    "older timm": _older_timm,
    "older timm, without the second name, with a saliency prior": lambda state: _saliency(
        _without(_older_timm(state), "reconstruction_layer.")
    ),
    "newer timm, sliced": _newer_timm_whole,
}


def _zero(model: SplitModel) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()


def _same(ours: torch.nn.Module, theirs: torch.nn.Module) -> bool:
    pairs = zip(ours.named_parameters(), theirs.named_parameters(), strict=True)
    return all(a == b and torch.equal(p, q) for (a, p), (b, q) in pairs)


@pytest.mark.parametrize("layout", WHOLE)
def test_every_layout_loads_to_the_same_weights(layout, model, other):
    _zero(other)
    for side in ("encoder", "receiver"):
        fill(other, WHOLE[layout](model.state_dict()), side, layout)
    assert _same(other, model)


def _bare(model: SplitModel) -> State:
    return dict(model.compression_module.state_dict())


@pytest.mark.parametrize("extra", [False, True])
def test_compression_module_alone_serves_the_device(extra, model, other):
    bare = _bare(model)
    if extra:
        bare |= {f"eb_cam.{k}": v for k, v in EntropyBottleneck(1).state_dict().items()}
    _zero(other)
    fill(other, bare, "encoder", "bare")
    assert _same(other.compression_module, model.compression_module)
    with pytest.raises(CheckpointError, match=r"missing: backbone\.layers"):
        fill(other, bare, "receiver", "bare")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda s: s | {"compression_module.g_x.weight": torch.zeros(1)}, r"1 unexpected: compression_module\.g_x"),
        (lambda s: _without(s, "compression_module.g_a.rb2.skip."), "2 missing: compression_module.g_a.rb2.skip"),
        (lambda s: s | {"backbone.head.fc.bias": torch.zeros(10)}, r"mis-shaped: backbone\.head\.fc\.bias"),
    ],
)
def test_files_that_do_not_fit(spoil, why, model, other):
    with pytest.raises(CheckpointError, match=why):
        fill(other, spoil(dict(model.state_dict())), "encoder", "file")


def test_older_backbone_computed_by_hand(model, other, latents):
    """Stage, patch merge at its end, stage, as timm 0.8.6 did: our model gives the same from the same file."""
    state = _older_timm(model.state_dict())
    _zero(other)
    fill(other, state, "receiver", "older")
    merge = {k: state[f"backbone.layers.2.downsample.{k}"] for k in ("norm.weight", "norm.bias", "reduction.weight")}
    with torch.no_grad():
        tokens = model.compression_module.g_s(latents)
        third = model.backbone.layers[0].blocks(tokens.reshape(-1, 14, 14, 384))
        parts = [third[:, 0::2, 0::2], third[:, 1::2, 0::2], third[:, 0::2, 1::2], third[:, 1::2, 1::2]]
        joined = torch.nn.functional.layer_norm(
            torch.cat(parts, dim=-1), (1536,), merge["norm.weight"], merge["norm.bias"]
        )
        fourth = model.backbone.layers[1].blocks(joined @ merge["reduction.weight"].T)
        assert fourth.shape == (2, 7, 7, 768)
        pooled = model.backbone.norm(fourth).mean(dim=(1, 2))
        expected = pooled @ state["backbone.head.weight"].T + state["backbone.head.bias"]
        assert torch.allclose(other.receive(latents), expected, atol=1e-5)


# Seeded weights and exports -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_seeded_latents_spread_as_trained_ones(name):
    settled = seeded(spec(name), seed=5)
    with torch.no_grad():
        latent = settled.encoder(pictures(spec(name))).transpose(0, 1).flatten(1)
    spread, centre = latent.std(dim=1), latent.mean(dim=1)
    assert 0.009 < spread.min() < 0.02 and 0.5 < spread.max() < 0.71
    assert torch.allclose(settled.prior.quantiles[:, 0, 1], centre, atol=1e-3)


def test_receiver_says_which_pictures_it_knows(model, tmp_path):
    with pytest.raises(UsageError, match="224x224"):
        model.receive(torch.zeros(1, 48, 32, 32))
    with pytest.raises(UsageError, match="224x224 alone, not latents of 32x32"):
        export(Request("frankensplit_swin", "onnx", side="receiver", size=256, output=tmp_path / "bundle"))
    assert model.notes(224) == () and "224x224" in model.notes(256)[0]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_exported_encoder_gives_the_models_symbols(precision, make_bundle, model, pixels):
    opened = Encoder.open(make_bundle("frankensplit_swin", "tflite", precision), threads=1)
    decoder = Decoder.open(opened.bundle.path)
    registered = spec("frankensplit_swin")
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (registered.mean, registered.std))
    for picture in pixels:
        with torch.no_grad():
            x = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 255
            latent = model.encoder((x - mean) / std)
            expected = torch.round(latent - model.prior.quantiles[:, 0, 1].view(1, -1, 1, 1))[0].numpy()
        symbols = opened.symbols(picture)
        assert symbols.any() and np.array_equal(decoder.symbols(opened.encode(picture)), symbols)
        assert np.mean(symbols == expected) >= (0.9999 if precision == "fp32" else 0.98)
        assert np.abs(symbols - expected).max() <= 1
    manifest = opened.bundle.manifest
    assert manifest.parameters == 141_696 and manifest.latent_shape == (48, 28, 28)
    if precision == "fp32":
        assert manifest.bits == 4_534_272
    else:
        assert manifest.parity["kept_float"] == [7, 8]  # the two that the latent is the sum of


def test_exported_receiver_predicts_what_pytorch_predicts(make_bundle, model, pixels):
    sender = make_bundle("frankensplit_swin", "tflite", "fp32")
    payload = Encoder.open(sender).encode(pixels[0])
    receiver = Receiver.open(make_bundle("frankensplit_swin", "openvino", side="receiver", weights="seeded"))
    with torch.no_grad():
        expected = model.receive(torch.from_numpy(Decoder.open(sender).latent(payload))[None])[0]
    assert np.allclose(receiver.logits(payload), expected.numpy(), atol=1e-4)
    prediction = receiver.predict(payload)
    assert prediction.best == model.class_names[int(expected.argmax())] and len(prediction.ranked) == 1000
    stored = {k for k in model.state_dict() if k.startswith((SYNTHESIS, "backbone."))}
    named = dict(model.named_parameters())
    assert receiver.bundle.manifest.parameters == sum(named[k].numel() for k in stored if k in named)


def test_alternative_receiver_reads_averages_of_its_latent():
    made = load("frankensplit_cnn", "receiver", weights="seeded").model
    latent = torch.randn(1, 48, 56, 56)
    means = latent.reshape(1, 48, 28, 2, 28, 2).mean(dim=(3, 5))
    with torch.no_grad():
        expected = made.backbone(made.compression_module.g_s(means))
        assert torch.allclose(made.receive(latent), expected, atol=1e-5)
    with pytest.raises(UsageError, match="224x224"):
        made.receive(torch.zeros(1, 48, 64, 64))
