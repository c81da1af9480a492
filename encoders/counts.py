"""Tables from counted symbols, and the files in which SPIC publishes such counts.

Those files are pickles, which could run anything when they are read as such. Here they are read by an unpickler that
knows the three names that such a file needs, and puts harmless functions of its own behind them.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from encoders.checkpoint import CheckpointError
from runtime.tables import FLAG_BOUND, TOTAL, WIDEST, Tables, integer_weights

Counts = npt.NDArray[np.int64]

#: Mass of the escape: once in a million symbols, as the tables of priors have it.
_ESCAPE = 2.0**-20
#: Published files have a kilobyte.
_LARGEST = 1 << 16
_MOST = 1 << 48


def read(path: Path, step: float) -> Counts:
    """How often each multiple of the step was seen, from zero on; CheckpointError for anything that is no such file."""
    if not path.is_file():
        raise CheckpointError(f"{path} is not a file; give the frequency table with --table")
    if path.stat().st_size > _LARGEST:
        raise CheckpointError(f"{path.name} is too large for a frequency table: {path.stat().st_size} bytes")
    return _checked(_unpickled(path.read_bytes(), path.name), np.float32(step), path.name)


def tables(counts: Counts, channels: int, cells: int, step: float) -> Tables:
    """The same table for each channel of this many positions; values that were not seen stay possible."""
    seen = np.zeros(max(len(counts), 2), np.float64)
    seen[: len(counts)] = counts
    escape = seen.sum() * _ESCAPE
    row = integer_weights(np.concatenate([[0], seen, [escape]]))
    silent = np.clip((seen[0] / seen.sum()) ** cells, FLAG_BOUND, 1 - FLAG_BOUND)
    made = Tables.build([row] * channels, [-1] * channels, [round(float(silent) * TOTAL)] * channels)
    return Tables(made.weights, made.bins, made.low, made.zero_weight, made.medians, step=np.float32(step))


def _unpickled(data: bytes, origin: str) -> Any:
    try:
        for code, argument, _ in pickletools.genops(data):
            # A reader makes room for as many remembered objects as the largest number says.
            if "PUT" in code.name and int(argument or 0) > len(data):
                raise pickle.UnpicklingError(f"it remembers an object under number {argument}")
        return _Unpickler(io.BytesIO(data)).load()
    except CheckpointError as why:
        raise CheckpointError(f"{origin} is no frequency table: {why}") from why
    except Exception as why:  # a damaged pickle makes its reader raise anything
        raise CheckpointError(f"{origin} is no frequency table, or a damaged one ({why})") from why


class _Unpickler(pickle.Unpickler):
    """Knows counters of float32 numbers, and nothing else."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self._known = _stand_ins()

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for one of the names that such a file needs; no other name is looked up anywhere."""
        if (module, name) not in self._known:
            raise CheckpointError(f"it asks for {module}.{name}, which is not loaded for safety")
        return self._known[module, name]

    def persistent_load(self, key: Any) -> Any:
        """Refuse references to what lies outside the file."""
        raise CheckpointError("it refers to something outside itself, which is not loaded for safety")


def _stand_ins() -> dict[tuple[str, str], Any]:
    """Made anew for each file, since a pickle can write attributes to whatever it is given."""

    class Float32:
        """NumPy's float32, which a file describes in two steps."""

        order = "<"

        def __init__(self, name: object, *_: object) -> None:
            if name != "f4":
                raise CheckpointError(f"it counts numbers of type {name!r}, not float32")

        def __setstate__(self, state: tuple[Any, ...]) -> None:
            if state[1] not in ("<", ">"):
                raise CheckpointError(f"it has float32 numbers of byte order {state[1]!r}")
            self.order = state[1]

    def number(kind: object, data: object) -> float:
        if type(kind) is not Float32 or type(data) is not bytes or len(data) != 4:
            raise CheckpointError("it has a number that is not a float32")
        value: float = struct.unpack(f"{kind.order}f", data)[0]
        return value

    def counter(pairs: object = None) -> dict[Any, Any]:
        if type(pairs) is not dict:
            raise CheckpointError("its counter does not count")
        return pairs

    return {
        ("collections", "Counter"): counter,
        ("numpy", "dtype"): Float32,
        ("numpy.core.multiarray", "scalar"): number,
        ("numpy._core.multiarray", "scalar"): number,
    }


def _checked(content: Any, step: np.float32, origin: str) -> Counts:
    if type(content) is not dict or not content:
        raise CheckpointError(f"{origin} is no frequency table: it holds {type(content).__name__}, not a counter")
    found: dict[int, int] = {}
    for value, count in content.items():
        if type(value) is not float or type(count) is not int or not 0 < count < _MOST:
            raise CheckpointError(f"{origin} counts {value!r} {count!r} times, which cannot be")
        multiple = round(value / float(step)) if 0 <= value <= 2 * WIDEST * float(step) else -1
        if multiple < 0 or np.float32(multiple) * step != np.float32(value):
            raise CheckpointError(f"{origin} belongs to another model: {value:g} is no multiple of the step {step:g}")
        if multiple > WIDEST:
            raise CheckpointError(f"{origin} counts {value:g}, more than {WIDEST} steps of {step:g}")
        found[multiple] = count
    counts = np.zeros(max(found) + 1, np.int64)
    counts[list(found)] = list(found.values())
    return counts
