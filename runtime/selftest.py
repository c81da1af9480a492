"""Does this bundle work on this machine? Checked against what the exporter saw.

The range coder must give the very bytes. The network may differ in a few symbols, where its latent lies within
rounding of a half and another CPU adds up in another order.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from runtime import codecs, payload
from runtime.bundle import SELFTEST
from runtime.codecs import Message
from runtime.encoder import Decoder, Encoder
from runtime.errors import BundleError

PICTURE, SYMBOLS, SIDE, PAYLOAD = "picture.png", "symbols.npy", "side.npy", "payload.spl"
#: Share of symbols that must be equal, by precision.
LEAST_AGREEMENT = {"fp32": 0.999}
_LEAST_OTHERWISE = 0.97


@dataclass(frozen=True)
class SelfTest:
    """Outcome of a self-test."""

    decoded: bool
    """The stored payload decodes to the stored symbols."""
    encoded: bool
    """The stored symbols encode to the stored payload."""
    agreement: float
    """Share of symbols that the network gives here as it did at export."""
    required: float

    @property
    def passed(self) -> bool:
        """All three hold."""
        return self.decoded and self.encoded and self.agreement >= self.required


def write(directory: Path, encoder: Encoder, picture: npt.NDArray[np.uint8]) -> None:
    """Store in a bundle that is being made the picture, its symbols and its payload."""
    folder = directory / SELFTEST
    folder.mkdir(exist_ok=True)
    Image.fromarray(picture).save(folder / PICTURE)
    symbols, side = encoder.message(picture)
    np.save(folder / SYMBOLS, symbols.astype(np.int16))
    if side is not None:
        np.save(folder / SIDE, side)
    (folder / PAYLOAD).write_bytes(encoder.encode(picture))


def run(encoder: Encoder) -> SelfTest:
    """Run a bundle's self-test with an opened encoder."""
    bundle = encoder.bundle
    folder = bundle.path / SELFTEST
    try:
        picture = np.asarray(Image.open(folder / PICTURE).convert("RGB"))
        expected = _array(folder / SYMBOLS).astype(np.int32)
        side = _array(folder / SIDE) if (folder / SIDE).is_file() else None
        stored = (folder / PAYLOAD).read_bytes()
    except (OSError, ValueError) as why:
        raise BundleError(f"{folder} is incomplete: {why}; export the bundle again") from why
    decoded = Decoder([bundle], encoder.coder).symbols(stored)
    codec = codecs.make(bundle.manifest.codec, bundle.tables, encoder.coder)
    parts = payload.unpack(stored, [bundle.tables.id], bundle.manifest.limits, context=True)
    return SelfTest(
        decoded=np.array_equal(decoded, expected),
        encoded=codec.encode(Message(expected, side)) == (parts.body, parts.plain),
        agreement=float(np.mean(encoder.symbols(picture) == expected)),
        required=LEAST_AGREEMENT.get(bundle.manifest.precision, _LEAST_OTHERWISE),
    )


def _array(file: Path) -> npt.NDArray[Any]:
    stored: npt.NDArray[Any] = np.load(io.BytesIO(file.read_bytes()), allow_pickle=False)
    return stored
