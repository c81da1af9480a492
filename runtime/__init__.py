"""splitport's runtime: picture in, payload out, and back. NumPy only; never torch.

In short::

    from runtime import Decoder, Encoder

    payload = Encoder.open("bundles/ours_n4-tflite-fp32").encode("picture.jpg")
    symbols = Decoder.open("bundles/ours_n4-onnx-fp32").symbols(payload)
"""

from runtime.bundle import Bundle, Manifest
from runtime.encoder import Decoder, Encoder, Timing
from runtime.errors import (
    BadBody,
    BadChecksum,
    BadMagic,
    BundleError,
    CorruptBody,
    EngineError,
    PayloadError,
    PictureError,
    SplitportError,
    SymbolError,
    SymbolsLeftOver,
    TablesError,
    TooLarge,
    TruncatedPayload,
    UnknownName,
    UnsupportedFlags,
    UnsupportedVersion,
    UsageError,
    WrongTable,
)
from runtime.receiver import Prediction, Receiver
from runtime.tables import Tables

__all__ = [
    "BadBody",
    "BadChecksum",
    "BadMagic",
    "Bundle",
    "BundleError",
    "CorruptBody",
    "Decoder",
    "Encoder",
    "EngineError",
    "Manifest",
    "PayloadError",
    "PictureError",
    "Prediction",
    "Receiver",
    "SplitportError",
    "SymbolError",
    "SymbolsLeftOver",
    "Tables",
    "TablesError",
    "Timing",
    "TooLarge",
    "TruncatedPayload",
    "UnknownName",
    "UnsupportedFlags",
    "UnsupportedVersion",
    "UsageError",
    "WrongTable",
]
