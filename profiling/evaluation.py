"""Accuracy and rate over labelled pictures, with real payloads: encode, decode, predict.

Every picture's outcome goes to a journal beside the output as soon as it is known, so that an evaluation that was
stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from profiling.measure import Meter
from profiling.records import Record
from profiling.subjects import BundleEncoding
from runtime.bundle import MANIFEST
from runtime.errors import PictureError, UsageError
from runtime.pictures import Labelled, labelled
from runtime.receiver import Receiver

Item = tuple[Path, int]


@dataclass(frozen=True)
class Outcome:
    """One picture's."""

    file: str
    broken: str | None = None
    """Why it could not be read; the other fields then mean nothing."""
    rank: int = 0
    """How many classes the receiver finds likelier than the right one."""
    wire_bytes: int = 0
    estimated_bits: float = 0.0
    ms: dict[str, float] | None = None


def evaluate(
    bundle: Path,
    receiver_bundle: Path,
    folder: Path,
    journal: Path,
    *,
    threads: int | None = None,
    device_name: str = "",
    watch: Callable[[Iterable[Item]], Iterable[Item]] = iter,
) -> tuple[Record, list[Outcome]]:
    """A record with the task's accuracy in it, and the pictures that could not be read."""
    meter = Meter(partial(BundleEncoding, bundle, threads))
    receiver = Receiver.open(receiver_bundle, tables=[bundle], threads=threads)
    pictures = labelled(folder).named_as(receiver.bundle.manifest.class_names)
    digest = _digest(pictures, folder)
    size = meter.encoding.size
    with _Journal(journal, [_sha256(bundle), _sha256(receiver_bundle), digest]) as done:
        meter.recall(outcome.ms for outcome in done.outcomes.values() if outcome.ms)
        rest = [item for item in pictures.items if _name(item[0], folder) not in done.outcomes]
        meter.warm_up([np.zeros((size, size, 3), np.uint8)])
        for file, label in watch(rest):
            done.add(_one(meter, receiver, file, label, _name(file, folder)))
        outcomes = list(done.outcomes.values())
    good = [outcome for outcome in outcomes if outcome.broken is None]
    if not good:
        raise UsageError(f"{folder}: none of {len(outcomes)} pictures could be read; the first: {outcomes[0].broken}")
    sent = [meter.encoding.count(bytes(outcome.wire_bytes)) for outcome in good]  # their number is what counts
    payload, wire, legacy = (_mean(each) for each in zip(*sent, strict=True))
    task = {
        "top1": _share(good, 1), "top5": _share(good, 5), "n": len(good), "broken": len(outcomes) - len(good),
        "data": folder.resolve().name, "data_sha256": digest, "receiver": receiver.bundle.manifest.target,
        "receiver_weights": receiver.bundle.manifest.weights, "bpp": 8 * (payload or 0) / size**2,
        "payload": payload, "wire": wire, "legacy": legacy,
    }  # fmt: skip
    bpp = statistics.fmean(outcome.estimated_bits for outcome in good) / size**2
    record = meter.record(sent, device_name, task=task, estimated_bpp=bpp)
    journal.unlink()
    return record, [outcome for outcome in outcomes if outcome.broken is not None]


def _one(meter: Meter, receiver: Receiver, file: Path, label: int, name: str) -> Outcome:
    try:
        pixels = meter.decode(file)
    except PictureError as why:
        return Outcome(name, broken=str(why))
    payload = meter.encode(pixels)
    logits = receiver.logits(payload)
    bits = receiver.charge(payload)
    return Outcome(name, None, int((logits > logits[label]).sum()), len(payload), round(bits, 2), meter.last)


def _mean(values: tuple[int | None, ...]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _share(outcomes: list[Outcome], best: int) -> float:
    """Per cent of pictures whose class is among the best."""
    return 100 * statistics.fmean(outcome.rank < best for outcome in outcomes)


def _name(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix()


def _digest(pictures: Labelled, folder: Path) -> str:
    """Of names and sizes: enough to notice other pictures, without reading them all twice."""
    lines = (f"{_name(file, folder)} {file.stat().st_size} {label}" for file, label in pictures.items)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _sha256(bundle: Path) -> str:
    """A bundle's manifest holds the digests of all its other files."""
    return hashlib.sha256((bundle / MANIFEST).read_bytes()).hexdigest()


class _Journal:
    """Outcomes on disk: a line that says of what, then one line a picture."""

    def __init__(self, path: Path, subject: list[str]) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self._path, self._head = path, json.dumps(subject) + "\n"

    def __enter__(self) -> _Journal:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        kept = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
        kept = kept[: kept.rfind("\n") + 1]  # what follows the last line break was being written when it was stopped
        head, *lines = kept.splitlines(keepends=True) or [self._head]
        if head != self._head:
            raise UsageError(f"{self._path} is of other bundles or pictures; remove it to start anew")
        try:
            self.outcomes = {outcome.file: outcome for outcome in (Outcome(**json.loads(line)) for line in lines)}
        except (ValueError, TypeError) as why:
            raise UsageError(f"{self._path} is damaged ({why}); remove it to start anew") from why
        if kept:
            os.truncate(self._path, len(kept.encode()))
        self._file: IO[str] = self._path.open("a", encoding="utf-8")
        self._file.write("" if kept else self._head)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, outcome: Outcome) -> None:
        self.outcomes[outcome.file] = outcome
        self._file.write(json.dumps(asdict(outcome)) + "\n")
        self._file.flush()
