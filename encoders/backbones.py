"""What goes on behind a bottleneck: known classifiers without their first stages, under the names they always have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import timm
import torch
import torchvision
from torch import nn
from torchvision.models import ResNet50_Weights

IMAGENET = tuple(ResNet50_Weights.IMAGENET1K_V1.meta["categories"])

#: Channels behind the stages that a bottleneck replaces.
FEATURES = {"resnet50": 256, "resnet101": 256, "regnety_064": 144, "vit_small_r26_s32_224": 256}


@dataclass(frozen=True)
class Backbone:
    """The rest of a classifier: modules for a model to own, and how features run through them.

    Both functions are given the model, since loading or moving it may replace what it owns.
    """

    modules: Mapping[str, nn.Module]
    stages: Callable[[Any, torch.Tensor], list[torch.Tensor]]
    """From features to what each stage puts out, the features themselves first."""
    classify: Callable[[Any, torch.Tensor], torch.Tensor]
    """From the last stage to logits."""
    parameters: Mapping[str, nn.Parameter] = field(default_factory=dict)
    """Those that belong to no module."""
    classes: tuple[str, ...] = IMAGENET

    @classmethod
    def of(cls, name: str) -> Backbone:
        """The named one, untrained."""
        if name.startswith("resnet"):
            return _resnet(name)
        return {"regnety_064": _regnet, "vit_small_r26_s32_224": _hybrid_vit}[name](name)


def _resnet(name: str) -> Backbone:
    whole = getattr(torchvision.models, name)(weights=None)
    modules = {part: getattr(whole, part) for part in ("layer2", "layer3", "layer4", "fc")}

    def classify(model: Any, features: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = model.fc(features.mean(dim=(2, 3)))
        return logits

    return Backbone(modules, _through("layer2", "layer3", "layer4"), classify)


def _regnet(name: str) -> Backbone:
    whole = timm.create_model(name)
    modules = {part: getattr(whole, part) for part in ("s2", "s3", "s4", "head")}
    return Backbone(modules, _through("s2", "s3", "s4"), lambda model, features: model.head(features))


def _hybrid_vit(name: str) -> Backbone:
    """A ResNet whose last grid becomes the tokens of a transformer."""
    whole = timm.create_model(name)
    convolutional = whole.patch_embed.backbone
    modules = {
        "patch_embed_pruned_stages": convolutional.stages[1:],
        "patch_embed_norm": convolutional.norm,
        "patch_embed_head": convolutional.head,
        "patch_embed_proj": whole.patch_embed.proj,
        "blocks": whole.blocks,
        "norm": whole.norm,
        "pre_logits": nn.Identity(),  # without weights here, and gone from newer versions of the library
        "head": whole.head,
    }

    def stages(model: Any, features: torch.Tensor) -> list[torch.Tensor]:
        seen = [features]
        for stage in model.patch_embed_pruned_stages:
            seen.append(stage(seen[-1]))
        return seen

    def classify(model: Any, features: torch.Tensor) -> torch.Tensor:
        grid = model.patch_embed_proj(model.patch_embed_head(model.patch_embed_norm(features)))
        tokens = grid.flatten(2).transpose(1, 2)
        tokens = torch.cat([model.cls_token.expand(tokens.shape[0], -1, -1), tokens], dim=1) + model.pos_embed
        logits: torch.Tensor = model.head(model.pre_logits(model.norm(model.blocks(tokens))[:, 0]))
        return logits

    return Backbone(modules, stages, classify, {"cls_token": whole.cls_token, "pos_embed": whole.pos_embed})


def _through(*names: str) -> Callable[[Any, torch.Tensor], list[torch.Tensor]]:
    def stages(model: Any, features: torch.Tensor) -> list[torch.Tensor]:
        seen = [features]
        for name in names:
            seen.append(getattr(model, name)(seen[-1]))
        return seen

    return stages
