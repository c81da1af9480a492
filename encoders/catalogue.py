"""Every model that is known, one line each, readable without torch."""

from __future__ import annotations

from encoders.registry import ModelSpec, register

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
                module="encoders.pcs",
                summary=f"8x8 patches, {_summary}; {_training}",
                latent_channels=64,
                stride=8,
                split=_STEM,
                parameters=_parameters,
                bits=32 * _parameters,
                macs=_macs,
                options={"blocks": _blocks, "frozen_tail": int(bool(_suffix))},
                weights=() if _suffix else _weights,
            )
        )

# SC2 benchmark: one bottleneck in front of several classifiers. A GDN1 keeps four scalars beside its parameters.
_FP_WINDOWS = ((5, 2, 2), (5, 2, 2), (2, 1, 0))
_WIDE = {"widths": (3, 64, 64, 64), "parameters": 131_904, "macs": 495_124_480, "channels": 64}
_NARROW = {"widths": (3, 96, 48, 24), "parameters": 138_672, "macs": 588_354_048, "channels": 24}


def _bottleneck(name: str, system: str, summary: str, backbone: str, **more: object) -> None:
    replaced = {"regnety_064": "RegNetY's stem and s1", "vit_small_r26_s32_224": "the hybrid ViT's stem and stage 0"}
    size = _WIDE if backbone in replaced else _NARROW
    register(
        ModelSpec(
            name=name,
            system=system,
            module="encoders.sc2",
            summary=summary,
            latent_channels=size["channels"],
            stride=32,
            windows=_FP_WINDOWS,
            split=f"replaces {replaced.get(backbone, f'ResNet-{backbone[6:]} stem and layer1')}",
            parameters=size["parameters"],
            bits=32 * (size["parameters"] + 8),
            macs=size["macs"],
            options={"backbone": backbone, "widths": size["widths"]} | more,
        )
    )


_bottleneck("matsubara2022wacv", "PCS 2022", "the baseline there: SC2's bottleneck", "resnet50")
for _backbone in ("resnet50", "resnet101", "regnety_064", "vit_small_r26_s32_224"):
    _bottleneck(
        f"entropic_student_{_backbone}", "SC2 benchmark", "Entropic Student: GDN1 bottleneck, factorized prior", _backbone
    )
_bottleneck("end_to_end_resnet50", "SC2 benchmark", "the same network, trained from scratch without a teacher", "resnet50")
