"""The two sides of a model: what each one's graph is, and how it is checked against PyTorch.

Each function fills the job's directory with graph, tables and self-test and returns the finished manifest, and notes
for whoever asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from calibration import choose
from encoders.device import DeviceEncoder, DeviceReceiver
from encoders.drawn import SELFTEST_SEED, draw
from encoders.model import SplitModel
from export import coding, parity, quantised
from export.job import Job, end
from runtime import selftest
from runtime.bundle import Manifest, seal
from runtime.encoder import Encoder
from runtime.engines import open_engine

_CHECKED = 4  # pictures or latents that an artifact is compared on


def encoder(job: Job) -> tuple[Manifest, tuple[str, ...]]:
    """Picture in, symbols out."""
    if job.request.precision == "int8":
        return quantised.encoder(job)
    pictures, kind, provenance = _pictures(job)
    model, spec, target, precision = job.loaded.model, job.loaded.spec, job.target, job.request.precision
    half = precision == "fp16" and target.fp16_computes_half
    device = DeviceEncoder(model, spec, half=half, **target.device_options).eval()
    picture = torch.from_numpy(draw(0, job.size)).unsqueeze(0)
    graph = job.convert(device, picture.permute(0, 3, 1, 2) if device.channels_first else picture)
    draft = job.manifest(graph, model.shipped, *job.encoder_ends(device))
    seal(job.directory, draft)

    eager = DeviceEncoder(model, spec).eval()
    opened = Encoder.open(job.directory)
    measured = parity.measure(opened, eager, pictures, kind, precision)
    checked = replace(draft, parity=measured.fields(), calibration=provenance)
    coded, notes = coding.fit(job, checked, opened)
    seal(job.directory, coded)
    selftest.write(job.directory, Encoder.open(job.directory), draw(SELFTEST_SEED, job.size))
    return coded, notes


def receiver(job: Job) -> tuple[Manifest, tuple[str, ...]]:
    """Quantised latent in, the task network's output out."""
    device = DeviceReceiver(job.loaded.model).eval()
    latents = _latents(job)
    with torch.no_grad():
        expected = device(latents).numpy()  # first, so that a size which the model refuses is told in its own words
    graph = job.convert(device, latents[:1])
    engine = open_engine(None, job.target.name, job.directory / graph, None)
    actual = np.concatenate([engine.run(latent.unsqueeze(0).numpy())[0].copy() for latent in latents])
    measured = parity.compare_outputs(actual, expected, job.request.precision)
    shipped = _Kept(job.loaded.model)
    ends = ("float32", latents[:1].shape, "NCHW"), ("float32", expected[:1].shape, "NCHW"[: expected.ndim])
    return replace(job.manifest(graph, shipped, *(end(*e) for e in ends)), parity=measured), ()


SIDES = {"encoder": encoder, "receiver": receiver}


def _pictures(job: Job) -> tuple[Sequence[npt.NDArray[np.uint8]], str, dict[str, Any] | None]:
    wanted = job.request.calibration
    if wanted is None:
        return [draw(seed, job.size) for seed in range(1, 1 + _CHECKED)], "drawn", None
    chosen = choose(replace(wanted, count=min(wanted.count, _CHECKED)), job.size)
    return chosen.pixels, "real", chosen.provenance()


def _latents(job: Job) -> torch.Tensor:
    """Quantised latents as a receiver gets them: integers in steps around the centre."""
    shape = (_CHECKED, job.loaded.spec.latent_channels, *job.grid)
    symbols = torch.randn(shape, generator=torch.Generator().manual_seed(0)).round()
    latent = job.loaded.model.outputs[0]
    return symbols * latent.step + torch.from_numpy(latent.centre).view(1, -1, 1, 1)


class _Kept(nn.Module):
    """What a receiver has of a model: parameters and buffers by the names that it needs."""

    def __init__(self, model: SplitModel) -> None:
        super().__init__()
        for key, value in model.state_dict(keep_vars=True).items():
            if key.startswith(model.receiver_keys) and "entropy" not in key and "gaussian" not in key:
                name = key.replace(".", "_")
                if isinstance(value, nn.Parameter):
                    self.register_parameter(name, value)
                else:
                    self.register_buffer(name, value)
