"""Every model that is known, one line each, readable without torch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from encoders.registry import ModelSpec, register, spec
from encoders.systems.spic_rows import specs as spic_specs

_STEM = "replaces ResNet-50's stem and layer1"

for _blocks, _summary, _weights, _parameters, _macs in (
    (0, "no residual block", ("lmb1.28",), 32_960, 25_690_112),
    (4, "four residual blocks", ("lmb1.28", "lmb0.16", "lmb40.96"), 623_552, 488_112_128),
    (8, "eight residual blocks", ("lmb1.28",), 1_214_144, 950_534_144),
):
    for _suffix, _training in (("", "tail trained too"), ("_enc", "tail frozen: stock ResNet-50")):
        register(
            ModelSpec(
                name=f"ours_n{_blocks}{_suffix}",
                system="PCS 2022",
                module="encoders.systems.pcs",
                summary=f"8x8 patches, {_summary}; {_training}",
                latent_channels=64,
                stride=8,
                split=_STEM,
                parameters=_parameters,
                bits=32 * _parameters,
                macs=_macs,
                legacy="pcs",
                tails=("small", "resnet50"),
                options={"blocks": _blocks, "frozen_tail": int(bool(_suffix))},
                weights=() if _suffix else _weights,
            )
        )

# SC2 benchmark: one bottleneck in front of several classifiers. A GDN1 keeps four scalars beside its parameters.
_FP_WINDOWS = ((5, 2, 2), (5, 2, 2), (2, 1, 0))


class _Size(NamedTuple):
    widths: tuple[int, ...]
    parameters: int
    macs: int

    @property
    def channels(self) -> int:
        return self.widths[-1]


_WIDE = _Size((3, 64, 64, 64), 131_904, 495_124_480)
_NARROW = _Size((3, 96, 48, 24), 138_672, 588_354_048)


_REPLACED = {"regnety_064": "RegNetY's stem and s1", "vit_small_r26_s32_224": "the hybrid ViT's stem and stage 0"}
_BACKBONES = ("resnet50", "resnet101", *_REPLACED)


def _bottleneck(name: str, system: str, summary: str, backbone: str) -> None:
    size = _WIDE if backbone in _REPLACED else _NARROW
    register(
        ModelSpec(
            name=name,
            system=system,
            module="encoders.systems.sc2",
            summary=summary,
            latent_channels=size.channels,
            stride=32,
            windows=_FP_WINDOWS,
            split=f"replaces {_REPLACED.get(backbone, f'ResNet-{backbone[6:]} stem and layer1')}",
            parameters=size.parameters,
            bits=32 * (size.parameters + 8),
            macs=size.macs,
            legacy={"PCS 2022": "pcs", "SC2 benchmark": "sc2"}[system],
            options={"backbone": backbone, "widths": size.widths},
        )
    )


_bottleneck("matsubara2022wacv", "PCS 2022", "the baseline there: SC2's bottleneck", "resnet50")
for _backbone in _BACKBONES:
    _bottleneck(
        f"entropic_student_{_backbone}",
        "SC2 benchmark",
        "Entropic Student: GDN1 bottleneck, factorized prior",
        _backbone,
    )
_bottleneck(
    "end_to_end_resnet50", "SC2 benchmark", "the same network, trained from scratch without a teacher", "resnet50"
)

# The same with a hyperprior. Its hyper-analysis and hyper-synthesis both run on the device.
_HYPER_COSTS = {  # by latent channels and whether there are means: parameters and MACs of both together
    (24, False): (38_400, 43_929_600),
    (24, True): (60_800, 104_700_800),
    (64, False): (70_400, 103_993_600),
    (64, True): (124_800, 261_564_800),
}


def _hyper_bottleneck(kind: str, backbone: str) -> None:
    means, size = kind == "mshp", _WIDE if backbone in _REPLACED else _NARROW
    parameters, macs = _HYPER_COSTS[size.channels, means]
    register(
        replace(
            spec(f"entropic_student_{backbone}"),
            name=f"{kind}_{backbone}",
            module="encoders.systems.sc2_hyper",
            summary=f"the same with a hyperprior that gives {'means and scales' if means else 'scales'}",
            codec="hyperprior",
            legacy="sc2 hyperprior",
            parameters=size.parameters + parameters,
            bits=32 * (size.parameters + parameters + 8),
            macs=size.macs + macs,
            options={"backbone": backbone, "widths": size.widths, "means": means},
        )
    )


for _backbone in _BACKBONES:
    _hyper_bottleneck("mshp", _backbone)
_hyper_bottleneck("shp", "resnet50")

# CompressAI's image codecs, each in the sizes of its lower and of its higher qualities.
for _prior, _name, _splits in (  # narrow and wide, qualities, parameters, MACs
    (
        "factorized",
        "bmshj2018_factorized",
        (
            (128, 192, "1 to 5", 1_493_312, 2_764_046_336),
            (192, 320, "6 to 8", 3_505_664, 6_140_461_056),
        ),
    ),
    (
        "scale",
        "bmshj2018_hyperprior",
        (
            (128, 192, "1 to 5", 3_574_912, 2_942_828_544),
            (192, 320, "6 to 8", 8_299_264, 6_571_032_576),
        ),
    ),
    (
        "mean",
        "mbt2018_mean",
        (
            (128, 192, "1 to 4", 5_527_072, 3_206_545_408),
            (192, 320, "5 to 8", 14_044_640, 7_333_871_616),
        ),
    ),
):
    for _narrow, _wide, _qualities, _parameters, _macs in _splits:
        register(
            ModelSpec(
                name=_name + ("" if _narrow == 128 else "_high"),
                system="CompressAI",
                module="encoders.systems.image_codecs",
                summary=f"image codec, qualities {_qualities}; the server rebuilds the picture",
                latent_channels=_wide,
                stride=64,
                windows=((5, 2, 2),) * 4,
                split="analysis on the device, synthesis on the server",
                parameters=_parameters,
                bits=32 * (_parameters + 12),  # three GDNs with four scalars each
                macs=_macs,
                size=256,
                mean=(0.0, 0.0, 0.0),
                std=(1.0, 1.0, 1.0),
                codec="factorized" if _prior == "factorized" else "hyperprior",
                task="picture",
                options={"prior": _prior, "narrow": _narrow, "wide": _wide},
            )
        )

# FrankenSplit. The second encoder is in the paper's code without a configuration that uses it.
for _analysis, _summary, _stride, _windows, _parameters, _buffers, _macs in (
    ("swin", "three residual blocks; Swin synthesis", 8, ((3, 2, 1), (3, 1, 1)) * 3, 141_696, 0, 530_460_672),
    ("cnn", "alternative CNN encoder; receiver not the paper's", 4, ((5, 2, 2), (5, 2, 3), (2, 1, 0)),
     542_352, 12, 2_235_165_696),
):  # fmt: skip
    register(
        ModelSpec(
            name=f"frankensplit_{_analysis}",
            system="FrankenSplit",
            module="encoders.systems.frankensplit",
            summary=_summary,
            latent_channels=48,
            stride=_stride,
            windows=_windows,
            split="replaces Swin-S3-B's patch embedding and first two stages",
            parameters=_parameters,
            bits=32 * (_parameters + _buffers),
            macs=_macs,
            legacy="frankensplit",
            options={"analysis": _analysis},
        )
    )

# SC2 benchmark: channel reduction and 8-bit quantisation. No prior: the codec sends bytes until tables are fitted.
_STEM_WINDOWS = ((7, 2, 3), (3, 2, 1))
_GROWING = ((2, 1, 1),) * 4
for _channels in (1, 2, 3, 6, 9, 12):
    register(
        ModelSpec(
            name=f"crbq_resnet50_c{_channels}",
            system="SC2 benchmark",
            module="encoders.systems.crbq",
            summary=f"CR+BQ as released (v0.0.3), {_channels} channel{'s' * (_channels > 1)} of 8 bits",
            latent_channels=_channels,
            stride=32,
            windows=_STEM_WINDOWS + _GROWING,
            split=_STEM,
            parameters=157_760 + 256 * _channels,
            bits=5_077_248 + 8192 * _channels,
            macs=619_839_488 + 921_600 * _channels,
            codec="affine",
            legacy="sc2 quantised",
            options={"layout": "released", "backbone": "resnet50"},
        )
    )


def _plain_bottleneck(
    name: str, layout: str, backbone: str, split: str, costs: tuple[int, int, int], **more: Any
) -> None:
    usual: dict[str, Any] = {"stride": 32, "windows": (*_STEM_WINDOWS, (2, 2, 1))}
    register(
        ModelSpec(
            name=f"crbq_now_{name}_c12",
            system="SC2 benchmark",
            module="encoders.systems.crbq",
            summary="CR+BQ as today's code has it, 12 channels of 8 bits",
            latent_channels=12,
            split=split,
            parameters=costs[0],
            bits=costs[1],
            macs=costs[2],
            codec="affine",
            legacy="sc2 quantised",
            options={"layout": layout, "backbone": backbone},
            **usual | more,
        )
    )


_plain_bottleneck(
    "resnet50", "resnet", "resnet50_from_layer3", "replaces ResNet-50's stem, layer1 and layer2",
    (12_736, 415_872, 120_597_504),
)  # fmt: skip
for _backbone in ("densenet121", "densenet169", "densenet201"):
    _plain_bottleneck(
        _backbone, "densenet", _backbone, f"replaces DenseNet-{_backbone[8:]} up to transition2",
        (12_760, 417_472, 120_597_504),
    )  # fmt: skip
_plain_bottleneck(
    "inception_v3", "inception", "inception_v3", "replaces Inception v3 up to Mixed_5b", (12_736, 415_872, 207_503_040),
    size=299, stride=1, windows=((7, 2, 0), (3, 2, 0), (2, 2, 1)),
)  # fmt: skip
# SC2 counts the bottleneck alone: 151,296 parameters and 512,884,736 MACs. What ships begins with the stock stem.
for _name, _backbone in (("", "resnet50"), ("_small", "resnet18"), ("_small", "resnet34")):
    _plain_bottleneck(
        f"{_backbone}_layer1{_name}", f"{'smaller' if _name else 'larger'}_layer1", _backbone,
        f"behind ResNet-{_backbone[6:]}'s stem, replaces layer1", (160_832, 5_175_552, 630_898_688),
        windows=_STEM_WINDOWS + _GROWING,
    )  # fmt: skip

# SPIC: 61 units, each in its place in a published network.
for _spec in spic_specs():
    register(_spec)
