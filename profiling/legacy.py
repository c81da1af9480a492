"""What the original programs count for the same coded bytes: the pickles that they send, or measure.

A pickle's length follows from what is in it, so no original is needed: protocol 4, which is every Python's default
from 3.8 to 3.13. Only classes of PyTorch are missing here; what they add to a plain tuple or to raw bytes is written
down below and held against PyTorch itself by a test.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from math import prod
from typing import Any

from runtime.errors import UnknownName
from runtime.payload import Grid

Shape = tuple[int, int, int]

#: What ``sys.getsizeof`` adds to a bytes object; SC2 measures with it, in units of 1024 bytes.
GETSIZEOF = 33
#: ``torch.Size`` instead of a tuple.
_TORCH_SIZE = 21
#: SC2's quantised tensor around its raw bytes, as PyTorch 2.12 pickles it; other versions differ by a few.
_QUANTISED_TENSOR = 794


def _pcs(payload: bytes, grid: Grid) -> int:
    return _pickled(([payload], grid))


def _frankensplit(payload: bytes, grid: Grid) -> int:
    return _pickled(([payload], grid)) + _TORCH_SIZE


def _sc2(payload: bytes, grid: Grid) -> int:
    return _pickled({"strings": [[payload]], "shape": grid}) + _TORCH_SIZE


def _sc2_hyper(payload: bytes, grid: Grid) -> int:
    # Two strings; where one ends and the other begins does not change the sum, as long as both are over 255 bytes.
    half = len(payload) // 2
    return _pickled({"strings": [[payload[:half]], [payload[half:]]], "shape": grid}) + _TORCH_SIZE


_STRINGS: dict[str, Callable[[bytes, Grid], int]] = {
    "pcs": _pcs,
    "frankensplit": _frankensplit,
    "sc2": _sc2,
    "sc2 hyperprior": _sc2_hyper,
}
_QUANTISED = "sc2 quantised"


def legacy_bytes(form: str, payload_bytes: int, latent: Shape) -> int:
    """Length of the original's pickle around so many coded bytes of a latent of this shape."""
    if form == _QUANTISED:  # sent as it is, a byte a number, whatever our coder makes of it
        return prod(latent) + _QUANTISED_TENSOR
    if form not in _STRINGS:
        raise UnknownName("legacy form", form, (*_STRINGS, _QUANTISED))
    return _STRINGS[form](bytes(payload_bytes), latent[1:])


def sc2_kilobytes(legacy: float) -> float:
    """SC2's data size."""
    return (legacy + GETSIZEOF) / 1024


def _pickled(thing: Any) -> int:
    return len(pickle.dumps(thing, protocol=4))
