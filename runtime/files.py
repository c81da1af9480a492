"""Write files so that a name never stands for half a content."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from runtime.errors import SplitportError, UsageError


def write_atomically(path: Path, content: bytes) -> None:
    """Write to a temporary name in the same directory, then rename."""
    try:
        _write_and_rename(path, content)
    except OSError as why:
        raise SplitportError(f"cannot write {path}: {reason(why)}; choose another place with -o") from why


def _write_and_rename(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


def reason(why: OSError) -> str:
    """In words; where a file stands in the place of a directory, mkdir would say "File exists"."""
    return "Not a directory" if isinstance(why, FileExistsError) else why.strerror or type(why).__name__


def outputs_for(inputs: Sequence[Path], folder: Path, suffix: str) -> list[Path]:
    """One output name for each input; refuses inputs that would overwrite each other's output."""
    outputs = [folder / (path.stem + suffix) for path in inputs]
    seen: dict[Path, Path] = {}
    for source, output in zip(inputs, outputs, strict=True):
        if output in seen and seen[output] != source:
            raise UsageError(f"{seen[output]} and {source} would both become {output}; encode them apart")
        seen[output] = source
    return outputs
