"""What goes on behind a bottleneck: known classifiers without their first stages, under the names they always have."""

from __future__ import annotations

from collections import OrderedDict
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

_DENSE = ("denseblock3", "transition3", "denseblock4", "norm5")


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
        if name.startswith("densenet"):
            return _densenet(name)
        if name == "inception_v3":
            return _inception(name)
        return {"regnety_064": _regnet, "vit_small_r26_s32_224": _hybrid_vit}[name](name)


def _resnet(name: str) -> Backbone:
    """From its second stage on, or from the one that a name like ``resnet50_from_layer3`` says."""
    name, _, first = name.partition("_from_")
    stages = ["layer2", "layer3", "layer4"]
    stages = stages[stages.index(first or "layer2") :]
    whole = getattr(torchvision.models, name)(weights=None)
    modules = {part: getattr(whole, part) for part in (*stages, "fc")}

    def classify(model: Any, features: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = model.fc(features.mean(dim=(2, 3)))
        return logits

    return Backbone(modules, _through(*stages), classify)


def _densenet(name: str) -> Backbone:
    """From its third dense block on."""
    whole = getattr(torchvision.models, name)(weights=None)
    kept = OrderedDict((part, whole.features.get_submodule(part)) for part in _DENSE)

    def classify(model: Any, features: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = model.classifier(torch.relu(features).mean(dim=(2, 3)))
        return logits

    modules = {"features": nn.Sequential(kept), "classifier": whole.classifier}
    return Backbone(modules, _through(*(f"features.{part}" for part in _DENSE)), classify)


def _inception(name: str) -> Backbone:
    """From its first mixed block on."""
    whole = getattr(torchvision.models, name)(weights=None, init_weights=False, aux_logits=False)
    kept = OrderedDict((part, block) for part, block in whole.named_children() if part.startswith("Mixed_"))

    def classify(model: Any, features: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = model.fc(features.mean(dim=(2, 3)))
        return logits

    modules = {"inception_modules": nn.Sequential(kept), "fc": whole.fc}
    return Backbone(modules, _through(*(f"inception_modules.{part}" for part in kept)), classify)


def _regnet(name: str) -> Backbone:
    whole = timm.create_model(name)
    modules = {part: getattr(whole, part) for part in ("s2", "s3", "s4", "head")}
    return Backbone(modules, _through("s2", "s3", "s4"), lambda model, features: model.head(features))


def _hybrid_vit(name: str) -> Backbone:
    """A ResNet whose last grid becomes the tokens of a transformer."""
    whole: Any = timm.create_model(name)
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
            seen.append(model.get_submodule(name)(seen[-1]))
        return seen

    return stages
