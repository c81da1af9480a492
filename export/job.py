"""A request while it is being worked on: the loaded model, the target, and the directory that fills up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from encoders.device import DeviceEncoder
from encoders.loading import Loaded
from export.request import ConversionError, Request
from export.targets import Plan, Target, TargetSpec
from runtime.bundle import Manifest
from runtime.errors import UsageError
from runtime.payload import Grid
from runtime.quiet import quiet


@dataclass(frozen=True)
class Job:
    """What both sides of an export share."""

    request: Request
    loaded: Loaded
    target: TargetSpec
    directory: Path

    @property
    def size(self) -> int:
        """Side of the square picture."""
        return self.loaded.spec.size if self.request.size is None else self.request.size

    @property
    def grid(self) -> Grid:
        """Height and width of the latent."""
        return self.loaded.spec.grid(self.size)

    def convert(self, module: nn.Module, example: torch.Tensor) -> str:
        """Have the target's converter write the graph; returns the name of the file that an engine loads."""
        precision, side = self.request.precision, self.request.side
        return self._run(lambda converter: converter.convert(module, example, precision, self.directory, side))

    def quantise(self, plan: Plan) -> str:
        """The same with 8-bit integers."""
        return self._run(lambda converter: converter.quantise(plan))

    def _run(self, work: Callable[[Target], str]) -> str:
        with quiet(self.request.debug):
            try:
                converter = self.target.load()
            except ImportError as why:
                hint = "pip install 'splitport[export]'"
                raise ConversionError(f"target {self.target.name} needs its converter: {hint} ({why})") from why
            try:
                with torch.no_grad():
                    return work(converter)
            except UsageError:
                raise
            except Exception as why:  # converters raise anything
                first = (str(why).strip().splitlines() or [type(why).__name__])[0]
                model = self.request.model
                raise ConversionError(f"the converter failed on {model}: {first} (see --debug)") from why

    @property
    def output_shapes(self) -> list[tuple[int, ...]]:
        """Of the encoder's graph, without the first dimension."""
        latent = (self.loaded.spec.latent_channels, *self.grid)
        return [latent, *self.loaded.model.further_shapes(self.grid)]

    def encoder_ends(self, device: DeviceEncoder) -> tuple[dict[str, Any], dict[str, Any]]:
        """What somebody needs who runs the graph without this project."""
        size = self.size
        nhwc = end("uint8", (1, size, size, 3), "NHWC")
        channels_last = end("uint8", (1, 3, size, size), "NCHW in channels-last memory")
        integers = "float32" if device.integers_as_float else "int32"
        ends = [
            end(integers if output.rounded else "float32", (1, *shape), "NCHW")
            for output, shape in zip(device.outputs, self.output_shapes, strict=True)
        ]
        symbols = ends[0] if len(ends) == 1 else {"outputs": ends}
        return (channels_last if device.channels_first else nhwc), symbols

    def _codec_parameters(self) -> dict[str, Any]:
        more, beside = self.output_shapes[1:], self.loaded.model.side_channel(self.size)
        told: dict[str, Any] = {"hyper_shape": list(more[0])} if more else {}
        return told | ({"side_channel_bytes": beside} if beside else {})

    def manifest(
        self, graph: str, shipped: nn.Module, graph_input: dict[str, Any], graph_output: dict[str, Any]
    ) -> Manifest:
        """The manifest as far as it is known before the artifact has been checked."""
        spec, request = self.loaded.spec, self.request
        return Manifest(
            model=spec.name,
            side=request.side,
            target=self.target.name,
            precision=request.precision,
            size=self.size,
            latent_shape=(spec.latent_channels, *self.grid),
            nominal_grid=spec.grid(spec.size),
            graph=graph,
            graph_input=graph_input,
            graph_output=graph_output,
            mean=spec.mean,
            std=spec.std,
            codec=spec.codec,
            codec_parameters=self._codec_parameters(),
            parameters=sum(p.numel() for p in shipped.parameters()),
            bits=_bits(shipped, self.target.stored_bits.get(request.precision, 8)),
            bits_fp32=_bits(shipped, 32),
            macs=self.loaded.model.macs(self.size) if request.side == "encoder" else None,
            weights=self.loaded.weights,
            checkpoint_sha256=self.loaded.checkpoint_sha256,
            calibration=None,
            parity={},
            tools={name: version(name) for name in ("splitport", "torch", "compressai", *self.target.packages)},
            task=spec.task,
            legacy=spec.legacy,
            class_names=self.loaded.model.class_names if request.side == "receiver" else (),
        )


def end(dtype: str, shape: Sequence[int], layout: str) -> dict[str, Any]:
    """One end of a graph."""
    return {"dtype": dtype, "shape": list(shape), "layout": layout}


def _bits(shipped: nn.Module, stored: int) -> int:
    """SC2's definition: parameters and buffers, each at the width of its type; floats at the width that ships."""
    return sum(v.numel() * (stored if v.is_floating_point() else 8 * v.itemsize) for v in shipped.state_dict().values())
