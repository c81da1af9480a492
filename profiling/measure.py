"""Measure one subject: warm up until it is steady, then time every stage of every encode."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from profiling import device, source, weather
from profiling.records import Record
from profiling.subjects import Opening, Pixels, Sent
from profiling.weather import Counters
from runtime.preprocess import to_pixels

_WINDOW, _STEADY, _MOST_WARMUP = 8, 0.05, 200
#: Encodes at the beginning of a turn that are not counted: the caches still hold what ran before.
SETTLING = 3


class Meter:
    """An opened subject whose encodes are timed, stage by stage, in turns."""

    def __init__(self, opening: Opening) -> None:
        self._before = weather.state()
        begin = perf_counter()
        self.encoding = opening()
        self._load_ms = 1e3 * (perf_counter() - begin)
        self._warmup = 1
        self._first_run_ms = self._untold(np.zeros((self.encoding.size, self.encoding.size, 3), np.uint8))
        self._peak_rss_mb = device.peak_rss_mb()  # before pictures wait in memory for their turn
        self._times: list[dict[str, float]] = []
        self._decoded: list[float] = []
        self._turns: list[dict[str, Any]] = []
        self._seen = Counters()

    def decode(self, path: Path) -> Pixels:
        """A picture's file as the encoder takes it; how long that takes is a stage of its own."""
        begin = perf_counter()
        pixels = to_pixels(path, self.encoding.size)
        self._decoded.append(round(1e3 * (perf_counter() - begin), 4))
        return pixels

    def warm_up(self, pixels: Sequence[Pixels]) -> None:
        """Encode until two windows in a row have medians within 5 %."""
        previous = float("inf")
        while self._warmup < _MOST_WARMUP:
            times = [self._untold(pixels[index % len(pixels)]) for index in range(_WINDOW)]
            self._warmup += _WINDOW
            median = statistics.median(times)
            if abs(previous - median) < _STEADY * median:
                return
            previous = median

    def turn(self, pixels: Sequence[Pixels]) -> list[bytes]:
        """Count an encode of each picture, once the first few have set the caches right."""
        before = Counters.now()
        for index in range(SETTLING):
            self._untold(pixels[index % len(pixels)])
        sent = [self.encode(each) for each in pixels]
        self._seen.add(before, Counters.now())
        self._turns.append({"runs": len(sent), **weather.state()})
        return sent

    def encode(self, pixels: Pixels) -> bytes:
        """Count one encode."""
        sent, ms = self.encoding.encode(pixels)
        self._times.append({stage: round(each, 4) for stage, each in {**ms, "total": sum(ms.values())}.items()})
        return sent

    @property
    def last(self) -> dict[str, float]:
        """Milliseconds of the encode that was counted last."""
        return self._times[-1]

    def recall(self, times: Iterable[dict[str, float]]) -> None:
        """Count encodes that were timed earlier."""
        self._times = [*times, *self._times]

    def record(self, sent: Sequence[Sent], device_name: str, **more: Any) -> Record:
        """Everything about the counted encodes; ``sent`` has an entry for each different picture."""
        facts = self.encoding.facts()
        samples = {stage: [each[stage] for each in self._times] for stage in self._times[0]}
        if self._decoded:
            samples["decode"] = self._decoded
        payloads = [each.payload for each in sent]
        legacy = [each.legacy for each in sent if each.legacy is not None]
        record = {
            **facts,
            "device": device.facts(device_name) | {"before": self._before, "after": weather.state()},
            "doubts": weather.doubts(self._seen, self._turns, samples["total"]),
            "warmup": self._warmup,
            "runs": len(self._times),
            "stages": {stage: summary(values) for stage, values in samples.items()},
            "samples": samples,
            "turns": self._turns,
            "load_ms": round(self._load_ms, 3),
            "first_run_ms": round(self._first_run_ms, 3),
            "peak_rss_mb": self._peak_rss_mb,
            "payload_bytes": summary(payloads),
            "wire_bytes": summary([each.wire for each in sent]),
            "legacy_bytes": summary(legacy) if legacy else None,
            "payloads": payloads,
            "bpp": 8 * statistics.fmean(payloads) / self.encoding.size**2,
            "pictures": len(sent),
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "version": source.version(),
            "commit": source.commit(),
        }
        return Record(**record | more)

    def _untold(self, pixels: Pixels) -> float:
        begin = perf_counter()
        self.encoding.encode(pixels)
        return 1e3 * (perf_counter() - begin)


def summary(values: Sequence[float]) -> dict[str, float]:
    """Percentiles, mean and minimum."""
    ordered = sorted(values)

    def percentile(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return {
        "p50": statistics.median(ordered),
        "p90": percentile(0.9),
        "p99": percentile(0.99),
        "mean": statistics.fmean(ordered),
        "min": ordered[0],
    }
