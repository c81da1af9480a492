"""The model card inside a bundle: what a person finds who opens the directory."""

from __future__ import annotations

from encoders.registry import ModelSpec
from export.drift import Drift
from runtime.bundle import Manifest


def card(spec: ModelSpec, manifest: Manifest) -> str:
    """Markdown text."""
    channels, height, width = manifest.latent_shape
    use = {
        "encoder": (
            "```\npython -m runtime encode THIS_DIRECTORY picture.jpg -o payloads\n"
            "python -m runtime decode THIS_DIRECTORY payloads/picture.spl -o symbols\n"
            "python -m runtime selftest THIS_DIRECTORY\n```"
        ),
        "receiver": "```\npython -m runtime predict THIS_DIRECTORY picture.spl --tables ENCODER_BUNDLE\n```",
    }[manifest.side]
    takes, gives = f"{manifest.size}x{manifest.size} RGB picture, uint8", f"{channels}x{height}x{width} latent"
    flow = f"{takes} -> {gives} as integers" if manifest.side == "encoder" else f"{gives} -> task output"
    return f"""# {manifest.model}, {manifest.side}, {manifest.target} {manifest.precision}

{spec.system}: {spec.summary}.

| | |
|---|---|
| data flow | {flow} |
| weights | {manifest.weights} |
| parameters | {manifest.parameters:,} ({manifest.bits:,} bits as shipped) |
| codec | {manifest.codec} |
| checked against PyTorch | {_parity_line(manifest)} |

{use}
{_cost(manifest)}
Everything here is listed with its SHA-256 in `manifest.json`; opening the bundle verifies it.
"""


def _cost(manifest: Manifest) -> str:
    """The report of a quantised encoder, where it is one."""
    if "bytes_int8" not in manifest.parity:
        return ""
    report = "\n".join(Drift(**manifest.parity).lines())
    return f"\nWhat 8-bit integers cost, beside the fp32 export on the machine that made it:\n\n```\n{report}\n```\n"


def _parity_line(manifest: Manifest) -> str:
    parity = manifest.parity
    if "agreement" in parity:
        pictures = f"{parity['pictures']} {parity['kind']} pictures"
        return f"{100 * parity['agreement']:.3f} % of symbols equal on {pictures}"
    return f"largest logit difference {parity['largest_difference']:.2g} on {parity['latents']} latents"
