"""Measure one bundle: warm up until it is steady, then time every stage of every encode."""

from __future__ import annotations

import os
import platform
import resource
import statistics
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from time import perf_counter
from typing import Any

from profiling.records import Record
from runtime.encoder import Encoder
from runtime.engines import default_for, spec
from runtime.payload import HEADER_BYTES
from runtime.preprocess import to_pixels

_STAGES = ("preprocess", "network", "code", "container", "total")
_WINDOW, _STEADY, _MOST_WARMUP = 8, 0.05, 200


def measure(
    bundle: Path, pictures: Sequence[Path], runs: int, threads: int | None, engine: str | None, device_name: str
) -> Record:
    """Encode each picture in turn until ``runs`` encodes are counted. Pictures wait in memory, decoded and cropped."""
    begin = perf_counter()
    encoder = Encoder.open(bundle, engine=engine, threads=threads)
    load_ms = 1e3 * (perf_counter() - begin)
    manifest = encoder.bundle.manifest
    pixels = [to_pixels(path, manifest.size) for path in pictures]
    warmup = _warm_up(encoder, pixels)
    samples: dict[str, list[float]] = {stage: [] for stage in _STAGES}
    wire: list[int] = []
    for index in range(runs):
        wire.append(len(encoder.encode(pixels[index % len(pixels)])))
        for stage in _STAGES:
            samples[stage].append(round(getattr(encoder.last_timing, stage), 4))
    once = wire[: len(pixels)]
    chosen = spec(engine) if engine else default_for(manifest.target)
    return Record(
        model=manifest.model,
        weights=manifest.weights,
        target=manifest.target,
        precision=manifest.precision,
        engine=chosen.version or chosen.name,
        coder=encoder.coder,
        threads=threads,
        device=_device(device_name),
        warmup=warmup,
        runs=runs,
        stages={stage: _summary(values) for stage, values in samples.items()},
        samples=samples,
        load_ms=load_ms,
        peak_rss_mb=_peak_rss_mb(),
        encoder_parameters=manifest.parameters,
        encoder_bits=manifest.bits,
        payload_bytes=_summary([n - HEADER_BYTES for n in once]),
        wire_bytes=_summary(once),
        bpp=8 * statistics.fmean(n - HEADER_BYTES for n in once) / manifest.size**2,
        pictures=len(once),
        picture_size=manifest.size,
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def _warm_up(encoder: Encoder, pixels: Sequence[Any]) -> int:
    """Encode until two windows in a row have medians within 5 %; returns how many encodes that took."""
    previous = float("inf")
    for done in range(_WINDOW, _MOST_WARMUP + 1, _WINDOW):
        times = []
        for index in range(_WINDOW):
            begin = perf_counter()
            encoder.encode(pixels[index % len(pixels)])
            times.append(perf_counter() - begin)
        median = statistics.median(times)
        if abs(previous - median) < _STEADY * median:
            return done
        previous = median
    return _MOST_WARMUP


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


def _device(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "os": platform.platform(),
        "python": platform.python_version(),
    }


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.lower().startswith(("model name", "hardware")):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _peak_rss_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)
