"""The server's end: payload to prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from runtime import engines
from runtime.bundle import Bundle
from runtime.coder import Symbols
from runtime.encoder import BundlePath, Decoder
from runtime.errors import BundleError, TooLarge, UsageError


@dataclass(frozen=True)
class Prediction:
    """All classes, best first: with their probabilities, or with the share of the picture that each covers."""

    ranked: list[tuple[str, float]]
    map: npt.NDArray[np.uint8] | None = None
    """The class of each pixel (height, width), where the task is segmentation."""

    @property
    def best(self) -> str:
        """Name of the likeliest class."""
        return self.ranked[0][0]


class Receiver:
    """Payload in, prediction out, for every sender whose tables it was given."""

    def __init__(self, bundle: Bundle, decoder: Decoder, engine: engines.Engine) -> None:
        self.bundle = bundle
        self._decoder, self._engine = decoder, engine

    @classmethod
    def open(
        cls,
        bundle: BundlePath,
        tables: Sequence[BundlePath] = (),
        engine: str | None = None,
        threads: int | None = None,
        coder: str | None = None,
    ) -> Receiver:
        """Verify a receiver bundle and load its graph; ``tables`` are encoder bundles it shall understand too."""
        bundles = [Bundle.open(path) for path in (bundle, *tables)]
        opened, manifest = bundles[0], bundles[0].manifest
        if manifest.side != "receiver":
            raise BundleError(f"{opened.path} is an {manifest.side} bundle; predicting needs a receiver bundle")
        runner = engines.open_engine(engine, manifest.target, opened.graph, threads)
        return cls(opened, Decoder(bundles, coder), runner)

    def logits(self, data: bytes) -> npt.NDArray[np.float32]:
        """The task network's raw output for one payload."""
        latent = self._decoder.latent(data)
        expected = self.bundle.manifest.latent_shape
        if latent.shape != expected:
            raise TooLarge(f"the payload's latent is {latent.shape}; this receiver was exported for {expected}")
        (output,) = engines.run(self._engine, latent[np.newaxis])
        return np.array(output[0], dtype=np.float32)

    def symbols(self, data: bytes) -> Symbols:
        """The sender's integers; see :meth:`Decoder.symbols`."""
        return self._decoder.symbols(data)

    def charge(self, data: bytes) -> float:
        """See :meth:`Decoder.charge`."""
        return self._decoder.charge(data)

    def predict(self, data: bytes) -> Prediction:
        """Class names with probabilities, or with shares of the picture, best first."""
        if self.bundle.manifest.task == "picture":
            raise UsageError(
                f"{self.bundle.manifest.model} rebuilds pictures and knows no classes: ask for the picture"
            )
        logits = self.logits(data).astype(np.float64)
        pixels = None
        if self.bundle.manifest.task == "segmentation":
            pixels = logits.argmax(axis=0).astype(np.uint8)
            shares = np.bincount(pixels.ravel(), minlength=len(logits)) / pixels.size
        else:
            odds = np.exp(logits - logits.max())
            shares = odds / odds.sum()
        names = self.bundle.manifest.class_names or [f"class {i}" for i in range(len(logits))]
        order = np.argsort(-shares, kind="stable")
        return Prediction([(names[i], float(shares[i])) for i in order], pixels)

    def picture(self, data: bytes) -> npt.NDArray[np.uint8]:
        """The picture (height, width, 3) that an image codec rebuilds."""
        if self.bundle.manifest.task != "picture":
            raise UsageError(f"{self.bundle.manifest.model} rebuilds no pictures: ask it to predict")
        values = np.clip(self.logits(data), 0, 1).transpose(1, 2, 0)
        pixels: npt.NDArray[np.uint8] = np.rint(255 * values).astype(np.uint8)
        return pixels
