"""Write into a bundle what :mod:`runtime.selftest` will hold it against."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from runtime.bundle import SELFTEST
from runtime.encoder import Encoder
from runtime.selftest import PAYLOAD, PICTURE, SYMBOLS

SEED = 7


def write(directory: Path, encoder: Encoder, picture: npt.NDArray[np.uint8]) -> None:
    """Store the picture, its symbols and its payload."""
    folder = directory / SELFTEST
    folder.mkdir()
    Image.fromarray(picture).save(folder / PICTURE)
    np.save(folder / SYMBOLS, encoder.symbols(picture).astype(np.int16))
    (folder / PAYLOAD).write_bytes(encoder.encode(picture))
