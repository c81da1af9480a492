"""A trained network that guides the one in training, as in the PCS 2022 paper."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torchvision.models import resnet50

from encoders.checkpoint import read_state
from encoders.model import StagedModel
from runtime.errors import UsageError


class Teacher(nn.Module):
    """Frozen ResNet-50 in torchvision's layout, with as many classes as its file says."""

    def __init__(self, file: Path, classes: int) -> None:
        super().__init__()
        state = read_state(file)
        if "fc.weight" not in state or len(state["fc.weight"]) != classes:
            found = f"{len(state['fc.weight'])} classes" if "fc.weight" in state else "no fc.weight"
            raise UsageError(f"teacher {file.name} must be a ResNet-50 for {classes} classes; it has {found}")
        self.network = resnet50(weights=None, num_classes=classes)
        try:
            self.network.load_state_dict(state)
        except RuntimeError as why:
            raise UsageError(
                f"teacher {file.name} is not torchvision's ResNet-50: {str(why).splitlines()[-1]}"
            ) from why
        self.requires_grad_(False).eval()

    def start(self, student: nn.Module) -> None:
        """Give the student's tail the teacher's weights, where it has such a tail."""
        if isinstance(student, StagedModel):
            prefixes = tuple(f"{name}." for name in student.tail)
            own = {k: v for k, v in self.network.state_dict().items() if k.startswith(prefixes)}
            student.load_state_dict(own, strict=False)

    @torch.no_grad()
    def forward(self, picture: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """The four stages' outputs and the logits."""
        network = self.network
        features = network.maxpool(network.relu(network.bn1(network.conv1(picture))))
        stages = []
        for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
            features = stage(features)
            stages.append(features)
        return stages, network.fc(network.avgpool(features).flatten(1))

    def loss(
        self, picture: torch.Tensor, logits: torch.Tensor, stages: list[torch.Tensor], task: torch.Tensor
    ) -> torch.Tensor:
        """Half the labels', half the teacher's opinion, and each stage's distance from the teacher's."""
        taught, opinion = self(picture)
        divergence = nn.functional.kl_div(
            logits.log_softmax(1), opinion.float().log_softmax(1), reduction="batchmean", log_target=True
        )
        distances = [nn.functional.mse_loss(a.float(), b.float()) for a, b in zip(stages, taught, strict=False)]
        return 0.5 * task + 0.5 * divergence + sum(distances, torch.zeros((), device=logits.device))
