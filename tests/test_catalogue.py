"""What the catalogue says of each model, held against the network itself."""

from __future__ import annotations

import pytest
import torch

from encoders import MODELS, spec
from encoders.costs import count_macs

#: Their 61 rows differ in a unit that tests/test_spic.py counts; here one row stands for each split.
_ROWS = [name for name, known in MODELS.items() if known.system == "SPIC" and not name.endswith("_0")]


@pytest.mark.parametrize("name", [name for name in MODELS if name not in _ROWS])
def test_figures_are_the_networks(name):
    """Parameters, bits, shape of the latent; and MACs, at a size that is quick to run where the picture is large."""
    known = spec(name)
    model = known.build().eval()
    size = known.size if known.size < 400 else 129
    encoder, picture = model.encoder, torch.zeros(1, 3, size, size)
    with torch.no_grad():
        made = encoder(picture)
    latents = (made,) if isinstance(made, torch.Tensor) else made
    assert tuple(latents[0].shape[1:]) == (known.latent_channels, *known.grid(size))
    assert [tuple(each.shape[1:]) for each in latents[1:]] == model.further_shapes(known.grid(size))
    shipped = model.shipped
    assert sum(p.numel() for p in shipped.parameters()) == known.parameters
    assert sum(8 * v.itemsize * v.numel() for v in shipped.state_dict().values()) == known.bits
    assert size != known.size or model.macs(size) == known.macs


#: Decoders of the published bottlenecks: parameters and MACs.
DECODERS = {
    "entropic_student_resnet50": (1_164_032, 3_582_525_440),
    "entropic_student_resnet101": (1_164_032, 3_582_525_440),
    "end_to_end_resnet50": (1_164_032, 3_582_525_440),
    "entropic_student_regnety_064": (426_672, 1_315_973_376),
    "entropic_student_vit_small_r26_s32_224": (1_245_952, 3_839_426_560),
    "ours_n4": (2_835_712, 7_925_399_552),
}


@pytest.mark.parametrize("name", DECODERS)
def test_published_decoders(name):
    known = spec(name)
    bottleneck = known.build().bottleneck_layer
    latent = torch.zeros(1, known.latent_channels, *known.grid(224))
    macs = count_macs(bottleneck.decoder, latent)
    assert (sum(p.numel() for p in bottleneck.decoder.parameters()), macs) == DECODERS[name]


#: Hyper-analysis and hyper-synthesis: parameters and MACs of each.
HYPER = {
    "shp_resnet50": ((16_000, 8_252_800), (22_400, 35_676_800)),
    "mshp_resnet50": ((16_000, 8_252_800), (44_800, 96_448_000)),
    "mshp_regnety_064": ((32_000, 19_916_800), (92_800, 241_648_000)),
}


@pytest.mark.parametrize("name", HYPER)
def test_published_hyperpriors(name):
    known = spec(name)
    bottleneck = known.build().bottleneck_layer
    latent, hyper = torch.zeros(1, known.latent_channels, 55, 55), torch.zeros(1, 16, 14, 14)
    for part, given, expected in zip((bottleneck.h_a, bottleneck.h_s), (latent, hyper), HYPER[name], strict=True):
        assert (sum(p.numel() for p in part.parameters()), count_macs(part, given)) == expected


@pytest.mark.parametrize(
    "name", [name for name in MODELS if MODELS[name].module in ("encoders.systems.sc2", "encoders.systems.sc2_hyper")]
)
def test_receivers_give_logits(name):
    known = spec(name)
    with torch.no_grad():
        logits = known.build().eval().receive(torch.zeros(1, known.latent_channels, *known.grid(known.size)))
    assert logits.shape == (1, 1000)
