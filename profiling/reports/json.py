"""The schema in which CompressAI publishes results: one object a curve, parallel lists inside.

A curve is one model on one target in one precision with one codec on one device; its points are its weights, by rising
rate. What could not be measured has no point, and no place here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from profiling.records import Record, Results


def render(results: Results) -> str:
    """A list of curves."""
    curves: dict[tuple[Any, ...], list[Record]] = {}
    for record in results.records:
        subject = record.subject
        key = (subject.model, subject.target, subject.precision, subject.codec, subject.threads, subject.device)
        curves.setdefault(key, []).append(record)
    return json.dumps([_curve(sorted(each, key=lambda record: record.bpp)) for each in curves.values()], indent=1)


def _curve(records: Sequence[Record]) -> dict[str, Any]:
    first = records[0]
    results: dict[str, list[Any]] = {
        "bpp": [record.bpp for record in records],
        "encoding_time": [record.stages["total"]["p50"] / 1e3 for record in records],
        "weights": [record.weights for record in records],
    }
    for name in ("top1", "top5"):
        if all(name in (record.task or {}) for record in records):
            results[name] = [(record.task or {})[name] for record in records]
    return {
        "name": "-".join([first.model, *first.subject.artifact.split()]),
        "description": f"encoder on {first.device['name']} ({first.device.get('cpu')}), {first.engine}; "
        "seconds, median",
        "results": results,
    }
