"""ExecuTorch with the XNNPACK delegate, for Android, iOS and C++."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
    XNNPACKQuantizer,
    get_symmetric_quantization_config,
)
from executorch.exir import to_edge_transform_and_lower
from torch import nn
from torchao.quantization.pt2e import MinMaxObserver, PerChannelMinMaxObserver
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from encoders.device import round_by_sum
from export.targets import Plan


def convert(module: nn.Module, example: torch.Tensor, precision: str, directory: Path, stem: str) -> str:
    """See :class:`export.targets.Target`. The module itself computes in the precision asked for."""
    name = f"{stem}.pte"
    program = torch.export.export(_settled(module, example), (example,))
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    (directory / name).write_bytes(lowered.to_executorch().buffer)
    return name


def quantise(plan: Plan) -> str:
    """See :class:`export.targets.Target`."""
    name = f"{plan.stem}.pte"
    example = torch.from_numpy(next(plan.inputs()))
    graph = torch.export.export(plan.network, (example,)).module()
    dynamic = plan.recipe == "dynamic"
    settings = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=dynamic)
    # The usual smallest step is coarser than a layer's that takes pixels up to 255.
    fine = PerChannelMinMaxObserver.with_args(eps=2**-30)
    settings = replace(settings, weight=replace(settings.weight, observer_or_fake_quant_ctr=fine))
    if not dynamic:
        observer = MinMaxObserver.with_args(eps=2**-12)  # one whose numbers can be set
        settable = replace(settings.input_activation, observer_or_fake_quant_ctr=observer)
        settings = replace(settings, input_activation=settable, output_activation=settable)
    prepared = prepare_pt2e(graph, _quantiser(graph, settings, plan.kept))
    prepared(example)
    _set_ranges(prepared, plan)
    converted = convert_pt2e(prepared)
    if plan.integers_out:
        _give_integers(converted)
    whole = _FromPicture(converted, rounds=plan.rounds)
    program = torch.export.export(_settled(whole, plan.example), (plan.example,))
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    (plan.directory / name).write_bytes(lowered.to_executorch().buffer)
    return name


def stored_bits(graph: Path) -> int:
    """See :class:`export.targets.Target`. The delegate's part is sealed, so that this is the whole file."""
    return 8 * graph.stat().st_size


class _OneChannel(nn.Module):
    """A single channel's strides fit both memory orders, and the delegate takes the wrong one: a reshape decides."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        latent: torch.Tensor = self.network(picture)
        return latent.reshape(latent.shape)


def _settled(module: nn.Module, example: torch.Tensor) -> nn.Module:
    with torch.no_grad():
        made = module(example)
    return _OneChannel(module) if isinstance(made, torch.Tensor) and made.shape[1] == 1 else module


class _FromPicture(nn.Module):
    """XNNPACK knows no unsigned pictures, so that one operator before it makes them real numbers."""

    def __init__(self, network: nn.Module, rounds: bool) -> None:
        super().__init__()
        self.network, self.rounds = network, rounds

    def forward(self, picture: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        pixels = picture.to(torch.float32)
        latent: torch.Tensor = self.network(pixels)
        return round_by_sum(latent) if self.rounds else latent


def _quantiser(graph: Any, settings: Any, kept: frozenset[int]) -> Any:
    """Convolutions in 8 bits but those that are kept; a stream that is rounded at each sum costs accuracy."""
    convolutions = _convolutions(graph)
    real = {convolutions[index].name for index in kept}
    real |= {node.name for node in graph.graph.nodes if any(word in str(node.target) for word in _ARITHMETIC)}
    return XNNPACKQuantizer().set_global(settings).set_filter_function(lambda node: node.name not in real)


_ARITHMETIC = ("aten.add", "aten.mul", "aten.sub", "aten.div")


def _convolutions(graph: Any) -> list[Any]:
    return [node for node in graph.graph.nodes if "conv2d" in str(node.target)]


def _set_ranges(prepared: Any, plan: Plan) -> None:
    """Steps of one at the ends, from -128 on for what comes in, around 0 for what goes out; the plan's in between."""
    if plan.recipe == "dynamic":
        return
    observers = dict(prepared.named_modules(remove_duplicate=False))  # a pooling shares one between both its ends
    layers = _convolutions(prepared)
    ranges = {layers[index]: r for index, r in plan.ranges.outputs.items()}
    ranges |= {layers[index].args[0]: r for index, r in plan.ranges.inputs.items()}
    for node in prepared.graph.nodes:
        if node.op != "call_module" or "activation_post_process" not in str(node.target):
            continue
        if node.args[0].op == "placeholder" and plan.network.takes_pixels and 0 not in plan.kept:
            _pin(observers[node.target], -128)
        elif plan.integers_out and all(user.op == "output" for user in node.users):
            _pin(observers[node.target], 0)
        elif (found := ranges.get(node.args[0]) or ranges.get(node)) is not None:
            observers[node.target].min_val, observers[node.target].max_val = map(torch.tensor, (found.low, found.high))


def _give_integers(converted: Any) -> None:
    """End where the last quantiser puts out the symbols, before they become real numbers again."""
    last = [node for node in converted.graph.nodes if "dequantize_per_tensor" in str(node.target)][-1]
    last.replace_all_uses_with(last.args[0])
    converted.graph.erase_node(last)
    converted.recompile()


def _pin(observer: Any, zero_point: int) -> None:
    observer.calculate_qparams = lambda: (torch.tensor([1.0]), torch.tensor([zero_point], dtype=torch.int32))
