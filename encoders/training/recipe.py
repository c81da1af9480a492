"""The training recipe: what is minimised, in which steps, and how a broken-off run goes on.

The classifier sees latents that are rounded as a payload rounds them (gradients pass straight through), while the rate
is estimated on latents with uniform noise, where it is differentiable. With noise for both, accuracy on real symbols
collapses: the classifier never meets the zeros that most symbols are.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import nn

from encoders.checkpoint import read_state
from encoders.model import SplitModel, StagedModel, Task
from encoders.registry import ModelSpec
from encoders.training.data import Photographs
from encoders.training.teacher import Teacher
from runtime.errors import UsageError


@dataclass(frozen=True)
class Recipe:
    """All that a run depends on besides its data."""

    model: str
    lmbda: float
    """Weight of bits per pixel against cross-entropy in nats."""
    epochs: int = 60
    batch: int = 32
    rate: float = 1.5e-3
    """Peak learning rate; a cosine falls to a hundredth of it."""
    warmup: float = 0.05
    """Share of the steps in which the learning rate rises."""
    ramp: float = 0.4
    """Share of the steps in which the weight of the rate term rises from nothing."""
    decay: float = 0.05
    smoothing: float = 0.1
    average: float = 0.998
    """Of the moving average of the weights, which is what is kept."""
    seed: int = 0
    taught: bool = False
    """Whether a teacher guides it."""
    start: str | None = None
    """Digest of the weights that it went on from."""


class Seen(NamedTuple):
    """One batch as the losses see it."""

    picture: torch.Tensor
    logits: torch.Tensor
    bpp: torch.Tensor
    """Estimated, on noisy latents; on rounded ones in eval mode."""
    stages: list[torch.Tensor]


class Trainee(nn.Module):
    """A split model with the two views of its latent that training needs."""

    def __init__(self, spec: ModelSpec, task: Task) -> None:
        super().__init__()
        self.model = spec.build(task)
        mean, std = torch.tensor(spec.mean).view(1, 3, 1, 1), torch.tensor(spec.std).view(1, 3, 1, 1)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)
        held = isinstance(self.model, StagedModel) and spec.options.get("frozen_tail")
        self.frozen = [self.model.get_submodule(name) for name in cast(StagedModel, self.model).tail] if held else []
        for module in self.frozen:
            module.requires_grad_(False)

    def train(self, mode: bool = True) -> Trainee:
        """A frozen tail keeps its statistics, too."""
        super().train(mode)
        for module in self.frozen:
            module.eval()
        return self

    @property
    def prior(self) -> Any:
        """CompressAI's entropy bottleneck."""
        return self.model.prior

    def forward(self, pixels: torch.Tensor, half: bool) -> Seen:
        """From uint8 pixels (N, 3, H, W) to logits on rounded latents and bits per pixel on noisy ones."""
        x = (pixels.float() / 255 - cast(torch.Tensor, self.mean)) / cast(torch.Tensor, self.std)
        x = x.to(memory_format=torch.channels_last)
        with torch.autocast(pixels.device.type, dtype=torch.bfloat16, enabled=half):
            y = self.model.encoder(x)
        y = y.float()
        median = self.prior.quantiles[:, 0, 1].detach().view(1, -1, 1, 1)
        rounded = torch.round(y - median) + median
        _, likelihood = self.prior(y)
        bits = -torch.log2(likelihood).sum() / (pixels.shape[0] * pixels.shape[2] * pixels.shape[3])
        with torch.autocast(pixels.device.type, dtype=torch.bfloat16, enabled=half):
            through = y + (rounded - y).detach()
            if isinstance(self.model, StagedModel):
                stages = self.model.stages(through)
                logits = self.model.classify(stages[-1])
            else:
                stages, logits = [], self.model.receive(through)
        return Seen(x, logits.float(), bits, stages)


@dataclass
class Progress:
    """What a run reports after each epoch."""

    epoch: int
    loss: float
    bpp: float
    accuracy: float
    """On the training batches."""


class Run:
    """A training run that can stop after any epoch and go on later."""

    def __init__(
        self,
        recipe: Recipe,
        spec: ModelSpec,
        task: Task,
        state: Path,
        *,
        half: bool = False,
        device: str = "cpu",
        teacher: Teacher | None = None,
        start: Path | None = None,
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.spec, self.task, self.state, self.half = recipe, spec, task, state, half
        self.device = torch.device(device)
        self.model = Trainee(spec, task).to(self.device).to(memory_format=torch.channels_last)
        self.teacher = teacher.to(self.device) if teacher else None
        if self.teacher:
            self.teacher.start(self.model.model)
        elif self.model.frozen:
            raise UsageError(f"{spec.name} keeps its tail as a trained ResNet-50 left it: give that with --teacher")
        if start:
            _go_on_from(start, self.model.model)
        self.average = copy.deepcopy(self.model).eval()
        quantiles = self.model.prior.quantiles
        prior = [p for p in self.model.prior.parameters() if p is not quantiles]
        apart = {id(p) for p in (quantiles, *prior)}
        network = [p for p in self.model.parameters() if p.requires_grad and id(p) not in apart]
        # Decay pulls weights towards zero: right for filters, meaningless for biases, norms and the prior's little
        # networks, whose zero is no simpler a distribution.
        groups = [
            {"params": [p for p in network if p.ndim > 1], "weight_decay": recipe.decay},
            {"params": [p for p in network if p.ndim == 1] + prior, "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=recipe.rate)
        # The quantiles have a loss of their own, which nothing else may pull at.
        self.auxiliary = torch.optim.Adam([quantiles], lr=1e-2)
        self.done = 0
        self.history: list[Progress] = []
        if state.exists():
            self._resume()

    def train(self, data: Photographs, each: Callable[[Progress], None]) -> None:
        """Run the epochs that are left, saving after each."""
        steps = len(data) // self.recipe.batch
        if not steps:
            raise UsageError(f"{len(data)} pictures do not fill a batch of {self.recipe.batch}")
        while self.done < self.recipe.epochs:
            seed = 1000 * self.recipe.seed + self.done
            torch.manual_seed(seed)
            totals = [0.0, 0.0, 0.0]
            for step, (pixels, labels) in enumerate(data.epoch(self.recipe.batch, seed)):
                share = (self.done * steps + step) / (self.recipe.epochs * steps)
                for index, value in enumerate(self._step(pixels, labels, share, self.done * steps + step)):
                    totals[index] += value / steps
            self.done += 1
            self.history.append(Progress(self.done, *totals))
            self._save()
            each(self.history[-1])

    def _step(
        self, pixels: torch.Tensor, labels: torch.Tensor, share: float, number: int
    ) -> tuple[float, float, float]:
        recipe = self.recipe
        rise = min(1.0, share / recipe.warmup) if recipe.warmup else 1.0
        for group in self.optimiser.param_groups:
            group["lr"] = recipe.rate * rise * (0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2)
        self.model.train()
        labels = labels.to(self.device)
        seen: Seen = self.model(pixels.to(self.device), self.half)
        task = nn.functional.cross_entropy(seen.logits, labels, label_smoothing=recipe.smoothing)
        if self.teacher:
            with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.half):
                task = self.teacher.loss(seen.picture, seen.logits, seen.stages, task)
        loss = task + recipe.lmbda * min(1.0, share / recipe.ramp) * seen.bpp
        self.optimiser.zero_grad(set_to_none=True)
        self.auxiliary.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.auxiliary.zero_grad(set_to_none=True)
        self.model.prior.loss().backward()
        self.auxiliary.step()
        with torch.no_grad():
            keep = min(recipe.average, number / (number + 4))  # early weights are not worth remembering
            for old, new in zip(self.average.state_dict().values(), self.model.state_dict().values(), strict=True):
                old.lerp_(new, 1 - keep) if old.is_floating_point() else old.copy_(new)
        return loss.item(), seen.bpp.item(), float((seen.logits.argmax(1) == labels).float().mean())

    @torch.no_grad()
    def evaluate(self, data: Photographs) -> tuple[float, float]:
        """Top-1 and estimated bits per pixel of the averaged weights, on rounded latents."""
        right = bits = 0.0
        for pixels, labels in data.plain(self.recipe.batch):
            seen: Seen = self.average(pixels.to(self.device), False)
            right += float((seen.logits.argmax(1).cpu() == labels).sum())
            bits += float(seen.bpp) * len(labels)
        return right / len(data), bits / len(data)

    def _save(self) -> None:
        temporary = self.state.with_suffix(".tmp")
        content = {
            "recipe": json.dumps(asdict(self.recipe)),
            "task": json.dumps(asdict(self.task)),
            "done": self.done,
            "history": [asdict(p) for p in self.history],
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "auxiliary": self.auxiliary.state_dict(),
        }
        torch.save(content, temporary)
        temporary.replace(self.state)

    def _resume(self) -> None:
        content = torch.load(self.state, weights_only=True, map_location=self.device)
        mine = json.dumps(asdict(self.recipe)), json.dumps(asdict(self.task))
        if (content["recipe"], content["task"]) != mine:
            raise UsageError(f"{self.state} belongs to another run (recipe or classes differ); remove it to start anew")
        self.done = content["done"]
        self.history = [Progress(**p) for p in content["history"]]
        self.model.load_state_dict(content["model"])
        self.average.load_state_dict(content["average"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.auxiliary.load_state_dict(content["auxiliary"])


def _go_on_from(file: Path, model: SplitModel) -> None:
    # Buffers of the coder, empty in training, are not stored in every kind of file.
    tables = {k: v for k, v in model.state_dict().items() if not v.numel()}
    try:
        model.adopt({**tables, **read_state(file)})
    except RuntimeError as why:
        raise UsageError(f"{file.name} is not a start for this model and task: {str(why).splitlines()[-1]}") from why
