"""ExecuTorch with its XNNPACK delegate.

Its Python module is built on PyTorch and takes torch tensors, so this adapter is the one place in the runtime that
imports torch. On a phone or in C++ the same .pte file runs without.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from executorch.extension.pybindings import portable_lib


class _ExecuTorch:
    def __init__(self, module: Any) -> None:
        self._module = module

    def run(self, array: npt.NDArray[Any]) -> list[npt.NDArray[np.generic]]:
        if not array.flags.writeable:  # torch warns that it cannot keep such an array from being written to
            array = array.copy()
        # The graph is declared as channels-last NCHW: the same bytes in memory as height x width x 3.
        picture = torch.from_numpy(array).permute(0, 3, 1, 2)
        outputs = self._module.run_method("forward", (picture,), clone_outputs=False)
        return [output.numpy() for output in outputs]


def open(graph: Path, threads: int | None) -> _ExecuTorch:
    """Load a .pte file. Its thread pool belongs to the process: the last opened graph decides its size."""
    if threads:
        portable_lib._unsafe_reset_threadpool(threads)
    return _ExecuTorch(portable_lib._load_for_executorch(str(graph)))
