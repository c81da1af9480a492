"""TFLite, for LiteRT on phones and boards."""

from __future__ import annotations

from pathlib import Path

import litert_torch
import torch
from ai_edge_quantizer import quantizer, recipe_manager
from ai_edge_quantizer.algorithm_manager import AlgorithmName
from ai_edge_quantizer.qtyping import (
    ComputePrecision,
    OpQuantizationConfig,
    TensorDataType,
    TensorQuantizationConfig,
    TFLOperationName,
)
from torch import nn


def convert(module: nn.Module, example: torch.Tensor, precision: str, directory: Path, stem: str) -> str:
    """See :class:`export.targets.Target`."""
    path = directory / f"{stem}.tflite"
    litert_torch.convert(module, (example,)).export(str(path))
    if precision == "fp16":
        _store_half(path)
    return path.name


def _store_half(path: Path) -> None:
    """Keep weights as float16; the delegate widens them when it loads the graph."""
    recipe = recipe_manager.RecipeManager()
    recipe.add_quantization_config(
        regex=".*",
        operation_name=TFLOperationName.ALL_SUPPORTED,
        op_config=OpQuantizationConfig(
            weight_tensor_config=TensorQuantizationConfig(num_bits=16, dtype=TensorDataType.FLOAT),
            compute_precision=ComputePrecision.FLOAT,
            explicit_dequantize=True,
        ),
        algorithm_key=AlgorithmName.FLOAT_CASTING,
    )
    halved = quantizer.Quantizer(str(path), recipe.get_quantization_recipe()).quantize()
    path.write_bytes(bytes(halved.quantized_model))
