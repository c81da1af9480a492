"""A bundle: a directory that holds one exported model and everything needed to trust it.

``manifest.json`` (with the SHA-256 of every other file and of itself), the graph, ``tables.safetensors``,
``selftest/`` and a model card. No pickle, no code. Opening a bundle verifies all of it; writing one happens in a
temporary directory beside the target that is renamed when complete, so a half-written bundle never carries its name.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from runtime.errors import BundleError, TablesError
from runtime.files import reason
from runtime.payload import Grid, Limits
from runtime.tables import Tables

MANIFEST = "manifest.json"
TABLES = "tables.safetensors"
SELFTEST = "selftest"
SCHEMA = 1
_BLANK = "0" * 64


@dataclass(frozen=True)
class Manifest:
    """What a bundle says about itself. Tuples become lists in the file; keys are the field names."""

    model: str
    side: str
    """``encoder`` or ``receiver``."""
    target: str
    precision: str
    size: int
    """Side of the square RGB picture, uint8, height x width x 3."""
    latent_shape: tuple[int, int, int]
    """Channels, height and width that the graph gives or takes."""
    nominal_grid: Grid
    """Height and width that a payload has unless it says otherwise: the same for all bundles of one model."""
    graph: str
    graph_input: dict[str, Any]
    """dtype, shape and layout of what the graph takes, for those who run it without this project."""
    graph_output: dict[str, Any]
    """The same of what it gives; a list of these under ``outputs`` where there are several."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    codec: str
    codec_parameters: dict[str, Any]
    parameters: int
    """Learnable numbers of the exported network."""
    bits: int
    """The same in bits, as SC2 counts them, at the precision that ships."""
    bits_fp32: int
    """The same before it was exported: the checkpoint's parameters and buffers."""
    macs: int | None
    """Multiply-accumulates for one picture of this size, of an encoder."""
    weights: str
    """Where the weights come from, in words."""
    checkpoint_sha256: str | None
    calibration: dict[str, Any] | None
    parity: dict[str, Any]
    """How the artifact compared with PyTorch before it was accepted."""
    tools: dict[str, str]
    class_names: tuple[str, ...] = ()
    task: str = "classification"
    """What a receiver's output is: ``classification``, ``segmentation`` or ``picture``."""
    legacy: str | None = None
    """Form in which the original sends payloads, or measures them, where that is not the bare bytes."""
    schema: int = SCHEMA

    @property
    def output_shapes(self) -> list[tuple[int, ...]]:
        """Of an encoder's graph, without the first dimension; the latent's comes first."""
        more = self.codec_parameters.get("hyper_shape")
        return [self.latent_shape, *([tuple(more)] if more else [])]

    @property
    def side_channel_bytes(self) -> int:
        """What a receiver needs beside each payload; it counts as sent wherever bytes are reported."""
        return int(self.codec_parameters.get("side_channel_bytes", 0))

    @property
    def limits(self) -> Limits:
        """Largest grid and payload that a decoder accepts: eight times the nominal grid each way."""
        height, width = (8 * n for n in self.nominal_grid)
        # At most 40 bits a number, and there are never more hyper symbols than symbols.
        numbers = self.latent_shape[0] * (height * width + 1) * (2 if self.codec == "hyperprior" else 1)
        return Limits((height, width), 64 + 5 * numbers)

    @classmethod
    def from_json(cls, fields: Any) -> Manifest:
        """Check names and types; a manifest from elsewhere is never half understood."""
        if not isinstance(fields, dict) or fields.get("schema") != SCHEMA:
            raise BundleError(f"manifest schema is not {SCHEMA}; export the bundle again with this version")
        names = set(cls.__dataclass_fields__)
        if wrong := names.symmetric_difference(fields):
            raise BundleError(f"manifest fields missing or unknown: {', '.join(sorted(wrong))}")
        try:
            _check_kinds(fields)
            manifest = cls(**{
                **fields,
                "latent_shape": _integers(fields["latent_shape"], 3),
                "nominal_grid": _integers(fields["nominal_grid"], 2),
                "mean": _three_numbers(fields["mean"]),
                "std": _three_numbers(fields["std"]),
                "class_names": tuple(map(str, fields["class_names"])),
            })  # fmt: skip
            _integers([manifest.size], 1)
            if "hyper_shape" in manifest.codec_parameters:
                _integers(manifest.codec_parameters["hyper_shape"], 3)
        except (TypeError, ValueError) as why:
            raise BundleError(f"manifest has a field of the wrong kind: {why}") from why
        return manifest


def _check_kinds(fields: dict[str, Any]) -> None:
    """Hold JSON values against the annotations of the fields, a list standing for a tuple."""
    for name, hint in get_type_hints(Manifest).items():
        options = get_args(hint) if isinstance(hint, UnionType) else (hint,)
        kinds = tuple(list if get_origin(o) is tuple else get_origin(o) or o for o in options)
        if not isinstance(fields[name], kinds) or isinstance(fields[name], bool):
            raise TypeError(f"{name} is of type {type(fields[name]).__name__}")
    if fields["side"] not in ("encoder", "receiver"):
        raise ValueError(f"side is {fields['side']!r}")


def _three_numbers(values: list[Any]) -> tuple[float, float, float]:
    first, second, third = map(float, values)
    return first, second, third


def _integers(values: Any, count: int) -> Any:
    if len(values) != count or not all(isinstance(v, int) and 1 <= v <= 0xFFFF for v in values):
        raise ValueError(f"{values!r} is not {count} sizes from 1 to 65535")
    return tuple(values)


@dataclass(frozen=True)
class Bundle:
    """An opened and verified bundle."""

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Bundle:
        """Read and verify; the first file that is missing or altered is named."""
        root = Path(path)
        if root.is_symlink():  # an update may change where it leads before the last file has been read
            root = root.resolve()
        if not (root / MANIFEST).is_file():
            raise BundleError(f"{root} is not a bundle: it has no {MANIFEST}; make one with python -m export")
        text = (root / MANIFEST).read_bytes()
        fields = _verified_manifest(root, text)
        files = fields.pop("files")
        for name, digest in files.items():
            _verify_file(root, name, digest)
        manifest = Manifest.from_json(fields)
        for name in (manifest.graph, TABLES):
            if name not in files:  # it would be opened without having been verified
                raise BundleError(f"{root / MANIFEST} does not list {name!r}; export the bundle again")
        return cls(root, manifest)

    @property
    def graph(self) -> Path:
        """The file that an engine loads; further files it needs lie beside it."""
        return self.path / self.manifest.graph

    @cached_property
    def tables(self) -> Tables:
        """The integer tables of this bundle."""
        if sys.byteorder != "little":  # safetensors leaves its little-endian numbers as they are
            raise BundleError("this machine is big-endian, where tables would be read with their bytes swapped")
        try:
            tables = Tables.from_arrays(load_tensors((self.path / TABLES).read_bytes()))
        except (TablesError, SafetensorError, OSError) as why:
            raise BundleError(f"{self.path / TABLES}: {why}") from why
        channels = tables.hyper.channels if tables.hyper else tables.channels
        if channels != self.manifest.latent_shape[0]:
            raise BundleError(
                f"{self.path / TABLES} is for {channels} channels, not {self.manifest.latent_shape[0]}; "
                "export the bundle again"
            )
        return tables


def _verified_manifest(root: Path, text: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(text)
        own = fields.pop("manifest_sha256")
        files = fields["files"]
        intact = hashlib.sha256(text.replace(own.encode(), _BLANK.encode())).hexdigest() == own
        intact = intact and all(isinstance(n, str) and isinstance(d, str) for n, d in files.items())
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as why:
        raise BundleError(f"{root / MANIFEST} is altered or truncated; export the bundle again") from why
    if not intact:
        raise BundleError(f"{root / MANIFEST} is altered: its own checksum differs; export the bundle again")
    return dict(fields)


def _verify_file(root: Path, name: str, digest: str) -> None:
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name:
        raise BundleError(f"{root}: the manifest lists {name!r}, which is not inside the bundle")
    file = root / name
    if not file.is_file():
        raise BundleError(f"{file} is missing; export the bundle again or copy it whole")
    if hashlib.sha256(file.read_bytes()).hexdigest() != digest:
        raise BundleError(f"{file} is altered: its checksum differs; export the bundle again or copy it anew")


@contextlib.contextmanager
def staging(target: Path) -> Iterator[Path]:
    """A fresh directory that replaces ``target`` when the block ends well and vanishes when it does not."""
    if target.exists() and not (target / MANIFEST).is_file():
        raise BundleError(f"{target} exists and is not a bundle; move it away or choose another --output")
    made = [folder for folder in target.parents if not folder.exists()]
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        yield temporary
        temporary.chmod(0o755)
        _replace(temporary, target)
    except OSError as why:
        raise BundleError(f"cannot write {target}: {reason(why)}; choose another --output") from why
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)
        for folder in made:
            with contextlib.suppress(OSError):  # it holds the bundle now, or somebody else's file
                folder.rmdir()


def _replace(temporary: Path, target: Path) -> None:
    """Directories cannot be renamed over each other, so the old one steps aside first."""
    if not target.exists():
        temporary.rename(target)
        return
    aside = temporary.with_name(temporary.name + "-old")
    target.rename(aside)
    try:
        temporary.rename(target)
    except OSError:
        aside.rename(target)
        raise
    shutil.rmtree(aside)


def write_tables(root: Path, tables: Tables) -> None:
    """Store the tables in a bundle that is being made."""
    (root / TABLES).write_bytes(save_tensors(tables.arrays()))


def seal(root: Path, manifest: Manifest) -> None:
    """Write the manifest over all files that now lie in the directory, itself included."""
    names = sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file() and p.name != MANIFEST)
    fields: dict[str, Any] = asdict(manifest)
    fields["files"] = {name: hashlib.sha256((root / name).read_bytes()).hexdigest() for name in names}
    fields["manifest_sha256"] = _BLANK
    text = json.dumps(fields, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    digest = hashlib.sha256(text.encode()).hexdigest()
    (root / MANIFEST).write_text(text.replace(_BLANK, digest), encoding="utf-8")
