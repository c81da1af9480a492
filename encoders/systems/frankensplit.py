"""FrankenSplit: an encoder of three residual blocks, and a decoder that rebuilds a Swin transformer's own features.

Analysis (on the device) and synthesis (on the server) replace the patch embedding and the first two stages of
Swin-S3-B; its other two stages and its classifier go on from there. Where the original counted the patch merge at a
stage's end, the installed timm counts it at the beginning of the next stage: the one behind the second stage is part of
what the synthesis replaces, so that the kept third stage begins without one. Module names are those of the published
code's checkpoints, with timm's present names inside the backbone; :meth:`FrankenSplit.translate` brings older ones up
to date.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, cast

import timm
import torch
from compressai.entropy_models import EntropyBottleneck
from compressai.layers import GDN1
from torch import nn

from encoders import settle
from encoders.model import SplitModel, Task
from encoders.prior import Prior
from encoders.registry import ModelSpec
from encoders.systems.backbones import IMAGENET
from encoders.systems.swin import PatchMerge, make_blocks
from runtime.errors import UsageError

#: Sides of the only pictures that receivers know, and of the grids behind the second stage's blocks and patch merge.
PICTURE, SIDE, MERGED = 224, 28, 14
_BACKBONE = "swin_s3_base_224"
_COMPRESSION, _FINAL, _SAME = "compression_module.", "compression_module.g_s.final_layer.", "reconstruction_layer."


class ResidualBlock(nn.Module):
    """Two convolutions, each with its activation, added to a 1x1 convolution of the input; nothing follows the sum."""

    def __init__(self, inputs: int, outputs: int, stride: int, activation: nn.Module) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1, stride)
        self.activation = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Divide the sides by the stride."""
        inner = self.activation(self.conv2(self.activation(self.conv1(x))))
        summed: torch.Tensor = inner + self.skip(x)
        return summed


def make_analysis(latent_channels: int) -> nn.Sequential:
    """Three blocks, each of stride two."""
    widths = (3, 48, 64, latent_channels)
    blocks = [ResidualBlock(i, o, 2, nn.ReLU()) for i, o in zip(widths, widths[1:], strict=False)]
    return nn.Sequential(OrderedDict((f"rb{n}", block) for n, block in enumerate(blocks, 1)))


class NormalisedConvolution(nn.Module):
    """A convolution and the GDN1 behind it."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.igdn = GDN1(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Divide the sides by the stride."""
        out: torch.Tensor = self.igdn(self.conv(x))
        return out


class AnalysisCNN(nn.Module):
    """The alternative, ``AnalysisNetworkCNN``: SC2's bottleneck encoder with one padding and one GDN1 more."""

    def __init__(self, latent_channels: int) -> None:
        super().__init__()
        first, second = 4 * latent_channels, 2 * latent_channels
        self.layers = nn.Sequential(
            NormalisedConvolution(3, first, 5, 2, 2),
            NormalisedConvolution(first, second, 5, 2, 3),
            NormalisedConvolution(second, latent_channels, 2, 1, 0),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A quarter of the picture's sides."""
        latent: torch.Tensor = self.layers(x)
        return latent


class HybridStage(nn.Module):
    """Swin blocks around which the input is added again, then a residual block of convolutions."""

    def __init__(self, inputs: int, outputs: int, heads: int) -> None:
        super().__init__()
        self.blocks = make_blocks(inputs, heads, SIDE)
        self.conv = ResidualBlock(inputs, outputs, 1, nn.LeakyReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keep the sides."""
        refined = self.blocks(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        out: torch.Tensor = self.conv(refined + x)
        return out


class Reconstruction(nn.Module):
    """What makes the backbone's tokens of features: Swin blocks, patch merge, norm."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.blocks = make_blocks(channels, heads, SIDE)
        self.sample = PatchMerge(channels)
        self.norm = nn.LayerNorm(2 * channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """From (N, C, 28, 28) to tokens (N, 196, 2 C)."""
        tokens: torch.Tensor = self.norm(self.sample(self.blocks(x.permute(0, 2, 3, 1))).flatten(1, 2))
        return tokens


class Synthesis(nn.Module):
    """``SynthesisNetworkSwinTransform``: from the latent to the tokens behind the backbone's second stage."""

    def __init__(self, latent_channels: int) -> None:
        super().__init__()
        self.deconv_embed = nn.Sequential(ResidualBlock(latent_channels, 96, 1, nn.LeakyReLU()))
        self.hybrid_stages = nn.Sequential(HybridStage(96, 192, heads=3))
        self.final_layer = Reconstruction(192, heads=4)

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        """From (N, C, 28, 28) to (N, 196, 384)."""
        tokens: torch.Tensor = self.final_layer(self.hybrid_stages(self.deconv_embed(latent)))
        return tokens


class SwinTail(nn.Module):
    """Swin-S3-B from the blocks of its third stage on."""

    def __init__(self) -> None:
        super().__init__()
        whole = cast(Any, timm.create_model(_BACKBONE, pretrained=False))
        self.layers: nn.Sequential = whole.layers[2:]  # whose members keep the names "2" and "3"
        cast(Any, self.layers[0]).downsample = nn.Identity()  # the synthesis ends with a patch merge of its own
        self.norm: nn.Module = whole.norm
        self.head: nn.Module = whole.head

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """From tokens (N, 196, 384) to logits."""
        grid = tokens.view(-1, MERGED, MERGED, tokens.shape[-1])
        logits: torch.Tensor = self.head(self.norm(self.layers(grid)))
        return logits


class Compression(nn.Module):
    """Analysis, prior and synthesis under the names of the original checkpoints."""

    def __init__(self, latent_channels: int, analysis: nn.Module) -> None:
        super().__init__()
        self.entropy_bottleneck = EntropyBottleneck(latent_channels)
        self.g_a = analysis
        self.g_s = Synthesis(latent_channels)


class FrankenSplit(SplitModel):
    """Analysis, prior and synthesis in front of the last two stages of Swin-S3-B."""

    encoder_keys = (f"{_COMPRESSION}g_a.", f"{_COMPRESSION}entropy_bottleneck.")
    receiver_keys = (f"{_COMPRESSION}g_s.", f"{_COMPRESSION}entropy_bottleneck.", "backbone.")
    class_names = IMAGENET

    def __init__(self, latent_channels: int, analysis: nn.Module) -> None:
        super().__init__()
        self.compression_module = Compression(latent_channels, analysis)
        self.backbone = SwinTail()
        self.reconstruction_layer = self.compression_module.g_s.final_layer  # original files hold it under both names

    @property
    def encoder(self) -> nn.Module:
        """See :class:`SplitModel`."""
        return self.compression_module.g_a

    @property
    def prior(self) -> Prior:
        """See :class:`SplitModel`."""
        return cast(Prior, self.compression_module.entropy_bottleneck)

    @property
    def last(self) -> Sequence[nn.Conv2d]:
        """See :class:`SplitModel`: a sum of two; the ReLU behind the first scales with it."""
        block = cast(ResidualBlock, self.compression_module.g_a.get_submodule("rb3"))
        return [block.conv2, block.skip]

    def notes(self, size: int) -> tuple[str, ...]:
        """See :class:`SplitModel`: whether a receiver can be had."""
        return (
            () if size == PICTURE else (f"  no receiver reads these: it knows pictures of {PICTURE}x{PICTURE} alone",)
        )

    def receive(self, latent: torch.Tensor) -> torch.Tensor:
        """See :class:`SplitModel`: logits of the 1,000 ImageNet classes."""
        if latent.shape[-2:] != (SIDE, SIDE):
            height, width = latent.shape[-2:]
            raise UsageError(
                f"the receiver knows pictures of {PICTURE}x{PICTURE} alone, not latents of {height}x{width}"
            )
        logits: torch.Tensor = self.backbone(self.compression_module.g_s(latent))
        return logits

    def translate(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """See :class:`SplitModel`: files of older timm, of the compression module alone, and with a saliency prior."""
        return _one_final_layer(_newer_backbone(_with_prefix(state)))


class FrankenSplitCNN(FrankenSplit):
    """The alternative encoder with a receiver of ours, not the paper's.

    The paper's code ships no configuration with this encoder and so no receiver for it. Here its latent of 56x56
    is averaged over 2x2 places and goes into the receiver of the other encoder, which must be trained for it.
    """

    @property
    def _layers(self) -> nn.Sequential:
        return cast(AnalysisCNN, self.compression_module.g_a).layers

    @property
    def last(self) -> Sequence[nn.Conv2d]:
        """See :class:`SplitModel`: a GDN1 follows it."""
        return [cast(NormalisedConvolution, self._layers[-1]).conv]

    @torch.no_grad()
    def settle(self, pictures: torch.Tensor) -> None:
        """See :class:`SplitModel`: the GDN1 at the end bends what was scaled, so that the prior is fitted behind it."""
        (last,) = self.last
        settle.scale([last], last(self._layers[:-1](pictures)))
        latent = self.encoder(pictures).transpose(0, 1).flatten(1)
        settle.fit(self.prior, latent.mean(dim=1), latent.std(dim=1))

    def receive(self, latent: torch.Tensor) -> torch.Tensor:
        """See :class:`SplitModel` and the class."""
        return super().receive(nn.functional.avg_pool2d(latent, 2))


def build(spec: ModelSpec, task: Task | None = None) -> FrankenSplit:
    """Make the model that the registry describes; it has the paper's classes only."""
    if spec.options["analysis"] == "cnn":
        return FrankenSplitCNN(spec.latent_channels, AnalysisCNN(spec.latent_channels))
    return FrankenSplit(spec.latent_channels, make_analysis(spec.latent_channels))


def _with_prefix(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Names inside the whole model, without the prior of saliency maps, which only training uses."""
    own = ("entropy_bottleneck.", "g_a.", "g_s.", "eb_cam.")
    bare = not any(key.startswith(_COMPRESSION) for key in state)
    named = {_COMPRESSION + k if bare and k.startswith(own) else k: v for k, v in state.items()}
    return {k: v for k, v in named.items() if not k.startswith(f"{_COMPRESSION}eb_cam.")}


def _newer_backbone(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Older timm merged patches at the end of a stage, had no pooling inside the head, and saved its constants."""
    third, fourth = (f"backbone.layers.{stage}.downsample." for stage in (2, 3))
    if any(k.startswith(fourth) for k in state):  # newer: the third stage's own is what the synthesis replaces
        state = {k: v for k, v in state.items() if not k.startswith(third)}
    moved = {third: fourth} | {f"backbone.head.{end}": f"backbone.head.fc.{end}" for end in ("weight", "bias")}

    def rename(key: str) -> str:
        return next((new + key.removeprefix(old) for old, new in moved.items() if key.startswith(old)), key)

    constants = (".relative_position_index", ".attn_mask")
    return {rename(k): v for k, v in state.items() if not (k.startswith("backbone.") and k.endswith(constants))}


def _one_final_layer(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The layer that has two names is there if either is; where both are, the second counts, as in the original."""
    return {_FINAL + k.removeprefix(_SAME): v for k, v in state.items() if k.startswith(_SAME)} | state
