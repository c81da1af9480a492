"""The encoder in 8-bit integers: quantise, see what it cost, give layers back if that was too much, refit tables."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from calibration import Pictures
from calibration.builtin import builtin
from calibration.bundles import FITTED, to_learn_from
from calibration.refit import fitted
from encoders.checkpoint import CheckpointError
from encoders.device import DeviceEncoder, QuantisableEncoder
from encoders.drawn import SELFTEST_SEED, draw
from encoders.loading import load
from encoders.model import SplitModel
from export import drift
from export.drift import Drift, DriftError
from export.grid import on_grid
from export.job import Job
from export.ranges import find
from export.sensitivity import convolutions, last_ones, worst_first
from export.targets import Plan
from runtime import codecs, selftest
from runtime.bundle import Manifest, seal, write_tables
from runtime.codecs import Message
from runtime.encoder import Encoder
from runtime.errors import UsageError

_BUILTIN = 24
_NO_DATA = "  calibrated on built-in pictures: accuracy is not assured; give your own with --calibration DATA"


@dataclass(frozen=True)
class Data:
    """Pictures to learn from, others to check on, and the right answers where they are known."""

    chosen: Pictures
    calibrated: int
    """How many the quantiser sees."""
    fitted: int
    """How many the tables see: these and more, since tables are made of rare events."""
    model: SplitModel | None
    """With a trained receiver, where labels can be used."""

    @property
    def calibrating(self) -> list[npt.NDArray[np.uint8]]:
        """Seen by the quantiser."""
        return self.chosen.pixels[: self.calibrated]

    @property
    def fitting(self) -> list[npt.NDArray[np.uint8]]:
        """Seen by the tables."""
        return self.chosen.pixels[: self.fitted]

    @property
    def checking(self) -> list[npt.NDArray[np.uint8]]:
        """Seen by nobody before the cost is measured."""
        return self.chosen.pixels[self.fitted :]

    @property
    def labels(self) -> list[int] | None:
        """Class indices of the checking pictures."""
        if self.model is None:
            return None
        names, own = self.model.class_names, self.chosen.labels[self.fitted :]
        known = [names.index(each) if each in names else each for each in own if each is not None]
        usable = [each for each in known if isinstance(each, int) and 0 <= each < len(names)]
        return usable if len(usable) == len(own) else None


def encoder(job: Job) -> tuple[Manifest, tuple[str, ...]]:
    """Fill the job's directory; see :mod:`export.sides`."""
    data = _data(job)
    if job.request.max_drop is not None and data.labels is None:
        raise UsageError("--max-drop needs trained weights, and calibration data with the receiver's classes")
    device = DeviceEncoder(job.loaded.model, job.loaded.spec, **job.target.device_options).eval()
    with tempfile.TemporaryDirectory() as scratch:
        reference = _reference(job, device, Path(scratch))
        draft, found = _quantise(job, device, data, reference)
    opened = Encoder.open(job.directory, threads=1)
    selftest.write(job.directory, opened, draw(SELFTEST_SEED, job.size))
    provenance = {**data.chosen.provenance(), "count": data.calibrated, "fitted": data.fitted}
    notes = () if job.request.calibration else (_NO_DATA,)
    lines = found.lines("raw bytes" if job.loaded.spec.codec == "affine" else "prior's tables")
    return replace(draft, parity=found.fields(), calibration=provenance), (*lines, *notes)


def _data(job: Job) -> Data:
    wanted = job.request.calibration
    if wanted is None:
        chosen = builtin(2 * _BUILTIN, job.size)
        return Data(chosen, _BUILTIN, _BUILTIN, None)
    chosen, count = to_learn_from(wanted, job.size, FITTED)
    if len(chosen.pixels) < 4:
        raise UsageError(f"{wanted.data} has {len(chosen.pixels)} pictures; calibration needs at least 4, better 64")
    return Data(chosen, min(wanted.count, count), count, _with_receiver(job))


def _with_receiver(job: Job) -> SplitModel | None:
    if "not trained" in job.loaded.weights or job.loaded.spec.task != "classification":
        return None
    request = job.request
    try:
        return load(request.model, "receiver", request.checkpoint, request.weights, request.parts).model
    except CheckpointError:  # a file with the encoder alone
        return None


def _reference(job: Job, device: DeviceEncoder, directory: Path) -> Encoder:
    """The same encoder in real numbers, to compare with."""
    real = replace(job, request=replace(job.request, precision="fp32"), directory=directory)
    graph = real.convert(device, _example(job, device))
    write_tables(directory, job.loaded.model.tables(job.loaded.spec.grid(job.loaded.spec.size)))
    seal(directory, real.manifest(graph, job.loaded.model.shipped, *real.encoder_ends(device)))
    return Encoder.open(directory, threads=1)


def _example(job: Job, device: DeviceEncoder) -> torch.Tensor:
    picture = torch.from_numpy(draw(0, job.size)).unsqueeze(0)
    return picture.permute(0, 3, 1, 2) if device.channels_first else picture


def _quantise(job: Job, device: DeviceEncoder, data: Data, reference: Encoder) -> tuple[Manifest, Drift]:
    """Convert, measure, and go on with one more layer in real numbers while the accuracy is not good enough."""
    recipe = job.request.recipe or next(iter(job.target.recipes))
    by_sum = job.target.device_options.get("rounding_by_sum", False)
    network = QuantisableEncoder(job.loaded.model, job.loaded.spec, rounding_by_sum=by_sum).eval()
    layers = convolutions(network)
    kept = {0, len(layers) - 1} if recipe == "mixed" else set()
    if not network.ends_in_convolution:
        # What comes behind them rounds, or is real: a quantiser in between would be a second, other rounding.
        kept |= last_ones(network, torch.from_numpy(_planes(data.calibrating[0])))
    plan = Plan(
        network, device, _example(job, device), data.calibrating, recipe, frozenset(kept), len(layers), job.directory
    )
    plan = replace(plan, ranges=find(network, plan.inputs()))
    expected = drift.messages_of(reference, data.checking)
    suspects: list[int] | None = None
    while True:
        plan = replace(plan, network=on_grid(network, plan.inputs(), plan.ranges, plan.kept))
        draft, found = _attempt(job, plan, data, reference, expected)
        allowed = job.request.max_drop
        if allowed is None or found.drop is None or found.drop <= allowed:
            return draft, found
        if suspects is None:
            suspects = [i for i in worst_first(network, list(plan.inputs())[:8]) if i not in plan.kept]
        if recipe == "dynamic" or not suspects:
            raise DriftError(
                f"top-1 falls by {found.drop:.2f} points, from {found.top1_fp32:.2f} to {found.top1_int8:.2f} %, more "
                f"than --max-drop {allowed:g} allows; calibrate on more pictures, try another --recipe, or keep fp32"
            )
        plan = replace(plan, kept=plan.kept | {suspects.pop(0)})


def _attempt(
    job: Job, plan: Plan, data: Data, reference: Encoder, expected: Sequence[Message]
) -> tuple[Manifest, Drift]:
    for file in job.directory.glob(f"{plan.stem}.*"):
        file.unlink()
    graph = job.quantise(plan)
    prior = reference.bundle.tables
    write_tables(job.directory, prior)
    draft = job.manifest(graph, job.loaded.model.shipped, *job.encoder_ends(plan.device))
    seal(job.directory, draft)
    opened = Encoder.open(job.directory, threads=1)
    draft = replace(
        draft,
        bits=job.target.load().stored_bits(job.directory / graph),
        graph_output=_with_dtypes(draft.graph_output, opened.outputs(data.checking[0])),
    )
    actual = drift.messages_of(opened, data.checking)
    learnt = [message.symbols for message in drift.messages_of(opened, data.fitting)]
    _, plain = fitted("plain", prior, learnt, draft.codec)
    kind, tables = fitted(job.request.coding, prior, learnt, draft.codec)
    drift.check(expected, actual)
    bytes_int8 = drift.mean_bytes(prior, draft.codec, actual)
    bytes_refit = None if prior.hyper else drift.mean_bytes(plain, draft.codec, actual)
    if tables is not prior and not tables.contexts and bytes_refit is not None and bytes_refit > bytes_int8:
        tables = prior  # too few pictures, or too unlike these, to learn from
    differences = np.abs(np.stack([a.symbols - e.symbols for a, e in zip(actual, expected, strict=True)]))
    labels, before, after = data.labels, None, None
    if labels is not None and data.model is not None:
        codec = codecs.make(draft.codec, prior, None)
        before, after = (drift.top1(data.model, codec, each, labels) for each in (expected, actual))
    ms_fp32, ms_int8 = drift.interleaved_ms(reference, opened, data.checking)
    found = Drift(
        pictures=len(actual),
        kind="real" if job.request.calibration else "built-in",
        calibrated_on=data.calibrated,
        recipe=plan.recipe,
        kept_float=tuple(sorted(plan.kept)),
        agreement=float((differences == 0).mean()),
        mean_difference=float(differences.mean()),
        largest_difference=int(differences.max()),
        bytes_fp32=drift.mean_bytes(prior, draft.codec, expected),
        bytes_int8=bytes_int8,
        bytes_refit=bytes_refit,
        bytes_context=drift.mean_bytes(tables, kind, actual) if tables.contexts else None,
        file_fp32=_graph_bytes(reference.bundle.graph),
        file_int8=_graph_bytes(opened.bundle.graph),
        ms_fp32=ms_fp32,
        ms_int8=ms_int8,
        labelled=len(labels) if labels else 0,
        top1_fp32=before,
        top1_int8=after,
    )
    write_tables(job.directory, tables)
    draft = replace(draft, codec=kind)
    seal(job.directory, draft)
    return draft, found


def _planes(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return pixels.transpose(2, 0, 1)[np.newaxis].astype(np.float32)


def _with_dtypes(described: dict[str, Any], outputs: Sequence[npt.NDArray[Any]]) -> dict[str, Any]:
    """The ends of the float graph, with the number formats that this one has."""
    ends = described.get("outputs", [described])
    made = [{**end, "dtype": str(output.dtype)} for end, output in zip(ends, outputs, strict=True)]
    return made[0] if len(made) == 1 else {"outputs": made}


def _graph_bytes(graph: Path) -> int:
    return sum(file.stat().st_size for file in graph.parent.glob(f"{graph.stem}.*"))
