"""Measure one bundle: warm up until it is steady, then time every stage of every encode."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from time import perf_counter
from typing import Any

from profiling import device
from profiling.records import Record
from runtime.encoder import Encoder
from runtime.engines import default_for, spec
from runtime.payload import HEADER_BYTES
from runtime.preprocess import to_pixels

_WINDOW, _STEADY, _MOST_WARMUP = 8, 0.05, 200


class Meter:
    """An opened encoder whose encodes are timed, stage by stage."""

    def __init__(self, bundle: Path, threads: int | None, engine: str | None) -> None:
        self._before = device.state()
        begin = perf_counter()
        self.encoder = Encoder.open(bundle, engine=engine, threads=threads)
        self._load_ms = 1e3 * (perf_counter() - begin)
        self._threads, self._engine = threads, engine
        self._warmup = 0

    def warm_up(self, pixels: Sequence[Any]) -> None:
        """Encode until two windows in a row have medians within 5 %."""
        previous = float("inf")
        while self._warmup < _MOST_WARMUP:
            times = []
            for index in range(_WINDOW):
                begin = perf_counter()
                self.encoder.encode(pixels[index % len(pixels)])
                times.append(perf_counter() - begin)
            self._warmup += _WINDOW
            median = statistics.median(times)
            if abs(previous - median) < _STEADY * median:
                return
            previous = median

    def encode(self, pixels: Any) -> tuple[bytes, dict[str, float]]:
        """One payload, and what each stage took in milliseconds."""
        payload = self.encoder.encode(pixels)
        timing = self.encoder.last_timing
        assert timing is not None
        return payload, {stage: round(ms, 4) for stage, ms in {**timing, "total": timing.total}.items()}

    def record(self, times: Sequence[dict[str, float]], wire: Sequence[int], device_name: str, **more: Any) -> Record:
        """Everything about these encodes; ``wire`` has one entry for each different picture.

        What a receiver needs beside the payload counts as sent.
        """
        manifest = self.encoder.bundle.manifest
        chosen = spec(self._engine) if self._engine else default_for(manifest.target)
        sent = [n + manifest.side_channel_bytes for n in wire]
        samples = {stage: [each[stage] for each in times] for stage in times[0]}
        return Record(
            model=manifest.model,
            weights=manifest.weights,
            target=manifest.target,
            precision=manifest.precision,
            engine=chosen.version or chosen.name,
            coder=self.encoder.coder,
            threads=self._threads,
            device=device.facts(device_name) | {"before": self._before, "after": device.state()},
            doubts=device.doubts(self._before, samples["total"]),
            warmup=self._warmup,
            runs=len(times),
            stages={stage: _summary(values) for stage, values in samples.items()},
            samples=samples,
            load_ms=self._load_ms,
            peak_rss_mb=device.peak_rss_mb(),
            encoder_parameters=manifest.parameters,
            encoder_bits=manifest.bits,
            macs=manifest.macs,
            payload_bytes=_summary([n - HEADER_BYTES for n in sent]),
            wire_bytes=_summary(sent),
            bpp=8 * statistics.fmean(n - HEADER_BYTES for n in sent) / manifest.size**2,
            pictures=len(wire),
            picture_size=manifest.size,
            side_channel_bytes=manifest.side_channel_bytes,
            date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            **more,
        )


def measure(
    bundle: Path, pictures: Sequence[Path], runs: int, threads: int | None, engine: str | None, device_name: str
) -> Record:
    """Encode each picture in turn until ``runs`` encodes are counted. Pictures wait in memory, decoded and cropped."""
    meter = Meter(bundle, threads, engine)
    pixels = [to_pixels(path, meter.encoder.bundle.manifest.size) for path in pictures]
    meter.warm_up(pixels)
    times, wire = [], []
    for index in range(runs):
        payload, ms = meter.encode(pixels[index % len(pixels)])
        times.append(ms)
        wire.append(len(payload))
    return meter.record(times, wire[: len(pixels)], device_name)


def _summary(values: Sequence[float]) -> dict[str, float]:
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
