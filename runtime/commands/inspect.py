"""``inspect FILE``: a payload, or a bundle's directory."""

from __future__ import annotations

import argparse
import struct
from dataclasses import asdict
from pathlib import Path
from typing import Any

from runtime import payload
from runtime.bundle import Bundle
from runtime.cli import Report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this command."""
    parser.add_argument("file", type=Path, help="a payload or a bundle")


def run(args: argparse.Namespace) -> Report:
    """Say what it is, checking what can be checked without anything else."""
    fields = _bundle(args.file) if args.file.is_dir() else _payload(args.file.read_bytes())
    return Report([f"{name:18} {_shown(value)}" for name, value in fields.items()], fields)


def _bundle(path: Path) -> dict[str, Any]:
    bundle = Bundle.open(path)
    fields: dict[str, Any] = {"kind": "bundle, all files intact", **asdict(bundle.manifest)}
    tables = bundle.tables
    fields["table_id"] = tables.id.hex()
    fields["tables"] = f"{tables.channels} channels, {tables.bins.min()} to {tables.bins.max()} bins"
    fields["class_names"] = len(fields["class_names"])
    return fields


def _payload(data: bytes) -> dict[str, Any]:
    anything = payload.Limits((0xFFFF, 0xFFFF), len(data))
    parts = payload.unpack(data, [data[4:8]], anything, context=True)
    return {
        "kind": "payload, checksum right",
        "version": data[2],
        "table_id": parts.table_id.hex(),
        "grid": "the manifest's" if parts.grid is None else f"{parts.grid[0]}x{parts.grid[1]}",
        "plain_tables_flag": parts.plain,
        "crc32": f"{struct.unpack_from('<I', data, 8)[0]:08x}",
        "payload_bytes": len(parts.body),
        "wire_bytes": len(data),
    }


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_shown(v)}" for k, v in value.items()) or "none"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
