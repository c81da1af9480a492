"""The export, from a name to a verified bundle, top to bottom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from calibration import from_folder
from encoders.checkpoint import Side
from encoders.device import DeviceEncoder, DeviceReceiver
from encoders.drawn import draw
from encoders.loading import Loaded, load
from encoders.prior import medians, tables
from export import parity, selftest
from export.card import card
from export.targets import TargetSpec, check_pair
from export.targets import spec as target_spec
from runtime.bundle import Manifest, seal, staging, write_tables
from runtime.encoder import Encoder
from runtime.engines import open_engine
from runtime.errors import SplitportError
from runtime.payload import Grid
from runtime.quiet import quiet
from runtime.tables import Tables

_CHECK_PICTURES = 4


@dataclass(frozen=True)
class Request:
    """One bundle that somebody wants."""

    model: str
    target: str
    precision: str = "fp32"
    side: Side = "encoder"
    checkpoint: Path | None = None
    size: int | None = None
    pictures: Path | None = None
    """Folder of real pictures to compare artifact and PyTorch on; drawn ones serve where it is None."""
    output: Path | None = None
    debug: bool = False

    @property
    def default_output(self) -> Path:
        """bundles/<model>-<target>-<precision>, and -receiver for that side."""
        suffix = "-receiver" if self.side == "receiver" else ""
        return Path("bundles") / f"{self.model}-{self.target}-{self.precision}{suffix}"


@dataclass(frozen=True)
class Exported:
    """What came out."""

    path: Path
    manifest: Manifest
    file_bytes: int
    """Size of the graph's files together."""


class ConversionError(SplitportError):
    """A converter failed; nothing was written."""


def export(request: Request) -> Exported:
    """Make one bundle; raises a SplitportError and leaves nothing behind if any step fails."""
    target = target_spec(request.target)
    check_pair(target, request.precision, request.side)
    with quiet(request.debug):
        loaded = load(request.model, request.side, request.checkpoint)
    size = loaded.spec.size if request.size is None else request.size
    grid = loaded.spec.grid(size)
    nominal = loaded.spec.grid(loaded.spec.size)
    prior_tables = tables(loaded.model.prior, nominal[0] * nominal[1])
    with staging(request.output or request.default_output) as directory:
        make = _encoder if request.side == "encoder" else _receiver
        manifest = make(request, loaded, target, prior_tables, size, grid, directory)
        (directory / "README.md").write_text(card(loaded.spec, manifest), encoding="utf-8")
        seal(directory, manifest)
        file_bytes = sum(p.stat().st_size for p in directory.iterdir() if p.stem == Path(manifest.graph).stem)
    return Exported(request.output or request.default_output, manifest, file_bytes)


def _encoder(
    request: Request, loaded: Loaded, target: TargetSpec, prior_tables: Tables, size: int, grid: Grid, directory: Path
) -> Manifest:
    pictures, kind, provenance = _pictures(request, size)
    options = dict(target.device_options)
    half = request.precision == "fp16" and target.stored_bits["fp16"] == 32
    device = DeviceEncoder(loaded.model, loaded.spec, medians(loaded.model.prior), half=half, **options).eval()
    picture = torch.from_numpy(draw(0, size)).unsqueeze(0)
    example = picture.permute(0, 3, 1, 2) if device.channels_first else picture
    graph = _convert(target, device, example, request, directory, "encoder")
    draft = _manifest(request, loaded, target, size, grid, graph, loaded.model.encoder)
    write_tables(directory, prior_tables)
    seal(directory, draft)

    eager = DeviceEncoder(loaded.model, loaded.spec, medians(loaded.model.prior), **options).eval()
    with quiet(request.debug):
        encoder = Encoder.open(directory)
        measured = parity.measure(encoder, eager, pictures, kind, request.precision)
        selftest.write(directory, encoder, draw(selftest.SEED, size))
    return replace(draft, parity=measured.fields(), calibration=provenance)


def _receiver(
    request: Request, loaded: Loaded, target: TargetSpec, prior_tables: Tables, size: int, grid: Grid, directory: Path
) -> Manifest:
    device = DeviceReceiver(loaded.model).eval()
    latents = _latents(loaded, grid)
    graph = _convert(target, device, latents[:1], request, directory, "receiver")
    shipped = nn.ModuleList(m for k, m in _receiver_parts(loaded).items())
    draft = _manifest(request, loaded, target, size, grid, graph, shipped)
    write_tables(directory, prior_tables)

    with quiet(request.debug), torch.no_grad():
        engine = open_engine(None, target.name, directory / graph, request.precision, None)
        expected = device(latents).numpy()
        actual = np.concatenate([engine.run(latent[np.newaxis].numpy()).copy() for latent in latents])
    worst = float(np.abs(actual - expected).max() / max(1.0, float(np.abs(expected).max())))
    if not worst <= parity.TOLERANCE[request.precision]:
        raise parity.ParityError(f"the exported receiver differs from PyTorch by {worst:.2g}; nothing was written")
    fields = {"latents": len(latents), "largest_difference": worst, "tolerance": parity.TOLERANCE[request.precision]}
    return replace(draft, parity=fields)


def _convert(
    target: TargetSpec, module: nn.Module, example: torch.Tensor, request: Request, directory: Path, stem: str
) -> str:
    with quiet(request.debug):
        try:
            converter = target.load()
        except ImportError as why:
            hint = "pip install 'splitport[export]'"
            raise ConversionError(f"target {target.name} needs its converter: {hint} ({why})") from why
        try:
            with torch.no_grad():
                return converter.convert(module, example, request.precision, directory, stem)
        except Exception as why:  # converters raise anything
            first = (str(why).strip().splitlines() or [type(why).__name__])[0]
            raise ConversionError(f"the converter failed on {request.model}: {first} (see --debug)") from why


def _pictures(request: Request, size: int) -> tuple[Sequence[npt.NDArray[np.uint8]], str, dict[str, Any] | None]:
    if request.pictures is None:
        return [draw(seed, size) for seed in range(1, 1 + _CHECK_PICTURES)], "drawn", None
    chosen = from_folder(request.pictures, _CHECK_PICTURES, size)
    return chosen.pixels, "real", chosen.provenance()


def _latents(loaded: Loaded, grid: Grid) -> torch.Tensor:
    """Quantised latents as a receiver gets them: integers around the medians."""
    generator = torch.Generator().manual_seed(0)
    shape = (_CHECK_PICTURES, loaded.spec.latent_channels, *grid)
    symbols = torch.randn(shape, generator=generator).round()
    return symbols + torch.from_numpy(medians(loaded.model.prior)).view(1, -1, 1, 1)


def _receiver_parts(loaded: Loaded) -> dict[str, nn.Module]:
    names = {k.rstrip(".") for k in loaded.model.receiver_keys if "entropy" not in k}
    return {name: loaded.model.get_submodule(name) for name in sorted(names)}


def _manifest(
    request: Request, loaded: Loaded, target: TargetSpec, size: int, grid: Grid, graph: str, shipped: nn.Module
) -> Manifest:
    parameters = sum(p.numel() for p in shipped.parameters())
    spec = loaded.spec
    return Manifest(
        model=spec.name,
        side=request.side,
        target=target.name,
        precision=request.precision,
        size=size,
        latent_shape=(spec.latent_channels, *grid),
        nominal_grid=spec.grid(spec.size),
        graph=graph,
        mean=spec.mean,
        std=spec.std,
        codec=spec.codec,
        codec_parameters={},
        parameters=parameters,
        bits=parameters * target.stored_bits[request.precision],
        weights=loaded.weights,
        checkpoint_sha256=loaded.checkpoint_sha256,
        calibration=None,
        parity={},
        tools={name: version(name) for name in ("splitport", "torch", "compressai", *target.packages)},
        class_names=loaded.model.class_names if request.side == "receiver" else (),
    )
