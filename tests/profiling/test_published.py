"""The published numbers against the files they were published in, and costs against what is known of each system."""

from __future__ import annotations

import json
from math import prod

import onnx
import pytest
from onnx import shape_inference

from profiling import published
from runtime.bundle import Bundle
from tests.conftest import SHARED


@pytest.mark.skipif(not SHARED.exists(), reason="needs the paper's result files, which are not part of this project")
@pytest.mark.parametrize("model", published.CURVES)
def test_curves_are_the_papers(model):
    theirs = json.loads((SHARED / "data/pcs" / f"{model}.json").read_text())
    theirs = theirs.get("results", theirs)
    points = sorted(zip(theirs["bpp"], theirs["top1"], theirs["top5"], strict=True), reverse=True)
    assert len(points) == len(published.CURVES[model])
    for point, (bpp, top1, top5) in zip(published.CURVES[model], points, strict=True):
        assert point.bpp == pytest.approx(bpp, abs=1e-5) and (point.top1, point.top5) == pytest.approx(
            (100 * top1, 100 * top5)
        )


def _costs(graph: onnx.GraphProto) -> tuple[int, int]:
    """MACs and weights of all convolutions and products with constants, read off a graph's own shapes."""
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.input, *graph.output)
    }
    constants = {each.name: list(each.dims) for each in graph.initializer}
    macs, numbers = 0, 0
    for node in graph.node:
        if node.op_type == "Conv":
            kernel = constants[node.input[1]]
            macs += prod(shapes[node.output[0]]) * prod(kernel[1:])
            numbers += sum(prod(constants[name]) for name in node.input[1:])
        elif node.op_type in ("Gemm", "MatMul"):
            macs += prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]
    return macs, numbers


@pytest.mark.parametrize(
    ("model", "macs", "parameters"),
    [
        ("ours_n0", 25_690_112, 32_960),
        ("ours_n4", 488_112_128, 623_552),
        ("ours_n8", 950_534_144, 1_214_144),
        ("matsubara2022wacv", 588_354_048, 138_672 + 24),  # its last layer has no bias: the medians become one
        ("frankensplit_swin", 530_460_672, 141_696),
    ],
)
def test_costs_are_those_of_the_exported_graph(make_bundle, model, macs, parameters):
    bundle = Bundle.open(make_bundle(model, "onnx", weights="seeded" if model.startswith("ours") else None))
    graph = shape_inference.infer_shapes(onnx.load(bundle.graph), data_prop=True).graph
    assert _costs(graph) == (macs, parameters)
    assert bundle.manifest.macs == macs and bundle.manifest.parameters == parameters - 24 * (model[0] == "m")


def test_fp32_bits_are_kept_whatever_ships(make_bundle):
    whole, small = (Bundle.open(make_bundle("ours_n4", "onnx", p)).manifest for p in ("fp32", "fp16"))
    assert whole.bits == whole.bits_fp32 == small.bits_fp32 == 19_953_664 and small.bits == 19_953_664 // 2
