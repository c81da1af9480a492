"""What is copied to hosts: bundles and pictures, under names that tell their content."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from profiling.fleet.agent import digest
from profiling.records import Subject
from profiling.subjects import told
from profiling.turns import Plan, bundle_subject
from runtime.bundle import MANIFEST, Bundle
from runtime.errors import UsageError
from runtime.pictures import pictures_in


@dataclass(frozen=True)
class Parcel:
    """Files that travel together."""

    name: str
    """Of their folder on the host."""
    files: dict[str, Path]
    """Name in the folder -> file here."""
    digests: dict[str, str]
    """Name in the folder -> SHA-256."""

    def pour(self, pipe: IO[bytes]) -> None:
        """Write them as one tar archive."""
        with tarfile.open(fileobj=pipe, mode="w|") as archive:
            for name, file in self.files.items():
                member = tarfile.TarInfo(name)
                member.size = file.stat().st_size
                with file.open("rb") as content:
                    archive.addfile(member, content)


@dataclass(frozen=True)
class Cargo:
    """A bundle to measure."""

    parcel: Parcel
    description: dict[str, Any]

    @property
    def sha256(self) -> str:
        """Of the manifest."""
        return str(self.description["bundle_sha256"])

    def subject(self, device: str, threads: int | None) -> Subject:
        """What its records on a host are about."""
        return bundle_subject(self.description, threads, device)


def bundles(paths: Iterable[Path]) -> list[Cargo]:
    """Opened and verified; what is named twice counts once."""
    found = {cargo.sha256: cargo for cargo in map(_bundle, paths)}
    return list(found.values())


def pictures(path: Path, runs: int) -> Parcel:
    """Those that so many encodes will use, and no more."""
    root = path.parent if path.is_file() else path
    chosen = Plan(pictures_in(path), runs, "").chosen
    files = {picture.relative_to(root).as_posix(): picture for picture in chosen}
    digests = {name: digest(file) for name, file in files.items()}
    whole = hashlib.sha256(json.dumps(digests).encode()).hexdigest()
    return Parcel(f"pictures/{whole[:16]}", files, digests)


def _bundle(path: Path) -> Cargo:
    manifest = Bundle.open(path).manifest
    if manifest.side != "encoder":
        raise UsageError(f"{path} is a {manifest.side} bundle; only encoder bundles can be measured")
    description = told(path, manifest)
    sha256 = description["bundle_sha256"]
    digests = {**json.loads((path / MANIFEST).read_bytes())["files"], MANIFEST: sha256}
    name = re.sub(r"[^\w.-]", "_", f"{manifest.model}-{manifest.target}-{manifest.precision}-{sha256[:12]}")
    return Cargo(Parcel(f"bundles/{name}", {file: path / file for file in digests}, digests), description)
