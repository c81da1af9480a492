"""The same bytes through constriction's own range coder.

constriction takes floating-point probabilities; handing it ``weight - 1`` as float32 makes every step of its table
building exact, so that its integers are ours: the sum is 2^24 - bins, its scale factor exactly 1, and it gives each
bin the 1 back. A coder object is made anew for each message: ``clear()`` does not reset the carry state.
"""

from __future__ import annotations

from typing import Any

import constriction
import numpy as np
import numpy.typing as npt

from runtime.coder import Symbols
from runtime.coder.body import tighten
from runtime.coder.stepwise import StepwiseCoder, StepwiseContextCoder, StepwiseHyperCoder
from runtime.errors import CorruptBody

_Model = constriction.stream.model.Categorical


def _model(weights: npt.NDArray[np.uint32]) -> Any:
    return _Model((weights - 1).astype(np.float32), perfect=False)


class _Sender:
    def __init__(self) -> None:
        self._coder = constriction.stream.queue.RangeEncoder()

    def put(self, bins: Symbols, model: Any) -> None:
        self._coder.encode(bins, model)

    def finish(self) -> bytes:
        _, (low, span) = self._coder.pos()
        return tighten(self._coder.get_compressed(), low, span)


class _Receiver:
    def __init__(self, body: bytes) -> None:
        words = np.frombuffer(body + b"\0" * (-len(body) % 4), ">u4").astype(np.uint32)
        self._coder = constriction.stream.queue.RangeDecoder(words)

    def get(self, count: int, model: Any) -> Symbols:
        try:
            bins: Symbols = self._coder.decode(model, count)
        except AssertionError as why:  # constriction's word for a point outside every symbol
            raise CorruptBody("the body names a point outside every symbol; send the payload again") from why
        return bins


class _RangeCoder:
    model = staticmethod(_model)
    sender = staticmethod(_Sender)
    receiver = staticmethod(_Receiver)


class ConstrictionCoder(StepwiseCoder):
    """The plain codec through constriction."""

    range_coder = _RangeCoder()


class ConstrictionContextCoder(StepwiseContextCoder):
    """The context codec through constriction, one call a symbol."""

    range_coder = _RangeCoder()


class ConstrictionHyperCoder(StepwiseHyperCoder):
    """The hyperprior codec through constriction."""

    range_coder = _RangeCoder()
