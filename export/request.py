"""What can be asked of the exporter, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from calibration import Selection
from encoders.checkpoint import Side
from runtime.bundle import Manifest
from runtime.errors import SplitportError


@dataclass(frozen=True)
class Request:
    """One bundle that somebody wants."""

    model: str
    target: str
    precision: str = "fp32"
    side: Side = "encoder"
    checkpoint: Path | None = None
    weights: str | None = None
    """Name of weights that ship, or ``seeded``; the model's default where neither this nor a checkpoint is given."""
    size: int | None = None
    calibration: Selection | None = None
    """Real pictures to compare artifact and PyTorch on; drawn ones serve where it is None."""
    recipe: str | None = None
    """Way to quantise; the target's default where it is None."""
    codec: str | None = None
    """``plain`` or ``context``; context where there are pictures to fit it to, if it is None."""
    max_drop: float | None = None
    """Points of top-1 that quantisation may cost."""
    output: Path | None = None
    debug: bool = False
    backbone: Path | None = None
    """Weights of the known network around a bottleneck whose checkpoint holds the bottleneck alone."""
    table: Path | None = None
    """Frequencies of symbols, for a model whose checkpoint has no prior."""

    @property
    def parts(self) -> Mapping[str, Path]:
        """The files beside the checkpoint that were given."""
        given = {"backbone": self.backbone, "table": self.table}
        return {name: file for name, file in given.items() if file is not None}

    @property
    def coding(self) -> str:
        """How symbols are coded."""
        return self.codec or ("context" if self.calibration and self.side == "encoder" else "plain")

    @property
    def destination(self) -> Path:
        """Where the bundle goes: bundles/<model>-<target>-<precision>, with -receiver for that side, by default."""
        suffix = "-receiver" if self.side == "receiver" else ""
        return self.output or Path("bundles") / f"{self.model}-{self.target}-{self.precision}{suffix}"


@dataclass(frozen=True)
class Exported:
    """What came out."""

    path: Path
    manifest: Manifest
    file_bytes: int
    """Size of the graph's files together."""
    notes: tuple[str, ...] = ()
    """What a person should know about it."""


class ConversionError(SplitportError):
    """A converter failed; nothing was written."""
