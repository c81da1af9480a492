"""The original programs' own path, to be measured beside ours: eager PyTorch, CompressAI's coder, a pickle.

It does what the papers' code does between a picture in memory and bytes that can be sent: to a normalised tensor,
through the encoder, through CompressAI's range coder, into the form in which that system sends it.
"""

from __future__ import annotations

import hashlib
import pickle
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from encoders import registry
from encoders import weights as shipped
from profiling.records import Subject
from profiling.subjects import Pixels, Sent
from profiling.turns import Wanted
from runtime.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from encoders.loading import Loaded

TARGET = "torch"
_CODECS = ("factorized", "hyperprior")

#: System's form -> what it pickles, made of the coded strings and the latent's height and width.
_FORMS: dict[str, Callable[[list[list[bytes]], Any], Any]] = {
    "pcs": lambda strings, shape: (strings[0], tuple(shape)),
    "frankensplit": lambda strings, shape: (strings[0], shape),
    "sc2": lambda strings, shape: {"strings": strings, "shape": shape},
    "sc2 hyperprior": lambda strings, shape: {"strings": strings, "shape": shape},
}


def want(
    model: str, threads: int | None, device_name: str, checkpoint: Path | None = None, weights: str | None = None
) -> Wanted:
    """The original path of a model as a subject to measure; names and files are checked here, PyTorch comes later."""
    spec = registry.spec(model)
    if spec.codec not in _CODECS or spec.parts:
        raise UsageError(f"{model} has no CompressAI coder; a baseline is measured of factorized and hyperprior models")
    file = checkpoint or shipped.find(spec, weights)
    if file is not None and not file.is_file():
        raise UsageError(f"{file} is no checkpoint file")
    digest = hashlib.sha256(model.encode() + (file.read_bytes() if file else b"")).hexdigest()
    subject = Subject(model, TARGET, "fp32", spec.codec, digest, threads, device_name)
    return Wanted(subject, partial(OriginalEncoding, subject, checkpoint, weights))


class OriginalEncoding:
    """See :class:`profiling.subjects.Encoding`."""

    def __init__(self, subject: Subject, checkpoint: Path | None = None, weights: str | None = None) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # CompressAI decorates with names that PyTorch has renamed
            import torch
            from torchvision import transforms

            from encoders.loading import load

            if subject.threads is not None:
                torch.set_num_threads(subject.threads)
            self._subject, self._loaded = subject, load(subject.model, file=checkpoint, weights=weights)
        spec = self._loaded.spec
        self.size = spec.size
        self._no_grad = torch.no_grad
        self._to_tensor = transforms.Compose([transforms.ToTensor(), transforms.Normalize(spec.mean, spec.std)])
        self._network, self._code = _path(self._loaded)

    def encode(self, pixels: Pixels) -> tuple[bytes, Mapping[str, float]]:
        """See :class:`profiling.subjects.Encoding`."""
        with self._no_grad():
            begin = perf_counter()
            tensor = self._to_tensor(pixels).unsqueeze(0)
            prepared = perf_counter()
            latents = self._network(tensor)
            computed = perf_counter()
            strings = self._code(*latents)
            coded = perf_counter()
            form = _FORMS.get(self._loaded.spec.legacy or "")
            shape = latents[-1].shape[-2:]  # of what a receiver decodes first
            sent = pickle.dumps(form(strings, shape), protocol=4) if form else b"".join(each[0] for each in strings)
            stamps = (begin, prepared, computed, coded, perf_counter())
        took = (1e3 * (b - a) for a, b in zip(stamps, stamps[1:], strict=False))
        return sent, dict(zip(("preprocess", "network", "code", "container"), took, strict=True))

    def count(self, sent: bytes) -> Sent:
        """See :class:`profiling.subjects.Encoding`: here the wire is the legacy form itself."""
        pickled = self._loaded.spec.legacy is not None
        strings = _strings(pickle.loads(sent)) if pickled else [sent]  # noqa: S301, made by encode a moment ago
        return Sent(sum(map(len, strings)), len(sent), len(sent) if pickled else None)

    def facts(self) -> dict[str, Any]:
        """See :class:`profiling.subjects.Encoding`."""
        model, known = self._loaded.model, self._subject
        state = model.shipped.state_dict().values()
        bits = sum(8 * tensor.itemsize * tensor.numel() for tensor in state)
        return {
            "model": known.model,
            "weights": self._loaded.weights,
            "target": known.target,
            "precision": known.precision,
            "codec": known.codec,
            "bundle_sha256": known.bundle_sha256,
            "engine": f"torch {version('torch')} with compressai {version('compressai')}",
            "coder": "compressai",
            "threads": known.threads,
            "encoder_parameters": sum(each.numel() for each in model.shipped.parameters()),
            "encoder_bits": bits,
            "encoder_bits_fp32": bits,
            "macs": model.macs(self.size),
            "picture_size": self.size,
        }


def _path(loaded: Loaded) -> tuple[Callable[[Tensor], tuple[Tensor, ...]], Callable[..., list[list[bytes]]]]:
    """From a picture's tensor to latents, and from these to CompressAI's strings, one list a latent."""
    model: Any = loaded.model
    if loaded.spec.codec == "factorized":
        prior = model.prior
        prior.update(force=True)
        encoder = model.encoder
        return lambda tensor: (encoder(tensor),), lambda y: [prior.compress(y)]
    coder = model.coder
    prior, conditional = coder.entropy_bottleneck, coder.gaussian_conditional
    prior.update(force=True)
    conditional.update()
    analysis = model.encoder

    def code(y: Tensor, z: Tensor) -> list[list[bytes]]:
        hyper = prior.compress(z)
        told = coder.h_s(prior.decompress(hyper, z.shape[-2:]))
        scales, means = told.chunk(2, 1) if model.means else (told, None)
        return [conditional.compress(y, conditional.build_indexes(scales), means=means), hyper]

    return analysis, code


def _strings(sent: Any) -> list[bytes]:
    lists = sent["strings"] if isinstance(sent, dict) else [sent[0]]
    return [string for each in lists for string in each]
