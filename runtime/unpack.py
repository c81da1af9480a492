"""Fetch a bundle from a folder, an archive or the network into a folder, trusting nothing about it.

Files are written one by one, under names that were looked at; links, devices, and names that lead elsewhere are
refused, and so is more than a bundle could need.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import urlsplit

from runtime.bundle import MANIFEST
from runtime.errors import BundleError, UsageError

#: A receiver of the largest model is a third of this.
MOST_BYTES = 1 << 30
MOST_FILES = 1000
#: Seconds without a byte.
PATIENCE = 30.0
_CHUNK = 1 << 16
_GZIP = b"\x1f\x8b"


def unpack(source: str, folder: Path, sha256: str | None = None) -> Path:
    """Put a bundle's files below a folder and return the directory that has the manifest; nothing is verified yet."""
    is_url = _scheme(source) in ("http", "https")
    if not is_url and Path(source).is_dir():
        if sha256:
            raise UsageError(f"--sha256 is of an archive, and {source} is a directory")
        for name, file in _files_of_folder(Path(source)):
            with file.open("rb") as content:
                _write(folder, name, content)
    else:
        with tempfile.TemporaryFile(dir=folder.parent) as archive:
            digest = _download(source, archive) if is_url else _copy(source, archive)
            if sha256 and digest != sha256.strip().lower():
                raise BundleError(f"{source} has SHA-256 {digest}, not {sha256}; nothing was changed")
            _extract(source, archive, folder)
    return _root(source, folder)


def _scheme(source: str) -> str:
    try:
        return urlsplit(source).scheme
    except ValueError as why:
        raise UsageError(f"{source} is no address: {why}") from why


def _files_of_folder(source: Path) -> Iterator[tuple[str, Path]]:
    if not (source / MANIFEST).is_file():
        raise BundleError(f"{source} is not a bundle: it has no {MANIFEST}")
    found = list(islice(source.rglob("*"), MOST_FILES + 1))
    if len(found) > MOST_FILES:
        raise BundleError(f"{source} holds more than {MOST_FILES} files; that is no bundle")
    for path in found:
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise BundleError(f"{path} is no plain file; a bundle has no other")
        if path.is_file():
            yield path.relative_to(source).as_posix(), path


def _copy(source: str, archive: IO[bytes]) -> str:
    if not Path(source).is_file():
        raise UsageError(f"{source} is no directory, no archive and no http(s) address")
    with Path(source).open("rb") as file:
        return _limited(source, file, archive)


def _download(url: str, archive: IO[bytes]) -> str:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            if _scheme(answer.url) not in {"https", _scheme(url)}:
                raise BundleError(f"{url} sends on to {answer.url}, which is less safe; give that address itself")
            digest = _limited(url, answer, archive)
            announced = answer.headers.get("Content-Length")
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as why:
        said = getattr(why, "reason", None) or why
        raise BundleError(f"cannot fetch {url}: {said}; nothing was changed") from why
    if announced is not None and announced.isdecimal() and int(announced) != archive.tell():
        raise BundleError(f"{url} broke off after {archive.tell():,} of {int(announced):,} bytes; try again")
    return digest


def _limited(source: str, content: IO[bytes], out: IO[bytes]) -> str:
    """Copy, and tell the SHA-256."""
    digest, size = hashlib.sha256(), 0
    while chunk := content.read(_CHUNK):
        size += len(chunk)
        if size > MOST_BYTES:
            raise BundleError(f"{source} has more than {MOST_BYTES:,} bytes; no bundle is that large")
        digest.update(chunk)
        out.write(chunk)
    return digest.hexdigest()


def _extract(source: str, archive: IO[bytes], folder: Path) -> None:
    archive.seek(0)
    packed = archive.read(2) == _GZIP
    archive.seek(0)
    try:
        with tempfile.TemporaryFile(dir=folder.parent) as plain:
            if packed:  # apart from reading the members, so that what it unpacks to is limited as a whole
                with gzip.open(archive) as unpacked:
                    _limited(source, unpacked, plain)  # type: ignore[arg-type]
                plain.seek(0)
            with tarfile.open(fileobj=plain if packed else archive, mode="r:") as tar:
                _members(tar, folder)
    except BundleError:
        raise
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError) as why:
        raise BundleError(f"{source} is no whole .tar or .tar.gz: {why}; fetch it again") from why


def _members(tar: tarfile.TarFile, folder: Path) -> None:
    for count, member in enumerate(tar, 1):
        if count > MOST_FILES:
            raise BundleError(f"the archive holds more than {MOST_FILES} files; that is no bundle")
        if member.isdir():
            continue
        if not member.isreg() or member.issparse():  # a sparse one may be larger than the archive by any factor
            raise BundleError(f"the archive holds {member.name!r}, which is no plain file; a bundle has no other")
        content = tar.extractfile(member)
        assert content is not None
        _write(folder, member.name, content)


def _write(folder: Path, name: str, content: IO[bytes]) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or any(c in name for c in "\\\0"):
        raise BundleError(f"{name!r} is not inside the bundle")
    file = folder / path
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("xb") as out:
            shutil.copyfileobj(content, out)
    except FileExistsError as why:
        raise BundleError(f"{name!r} is there twice") from why
    except NotADirectoryError as why:
        raise BundleError(f"{name!r} lies below a file") from why


def _root(source: str, folder: Path) -> Path:
    """Archives hold a bundle's files, or the one directory that has them."""
    below = list(folder.iterdir())
    for root in [folder, *below] if len(below) == 1 else [folder]:
        if (root / MANIFEST).is_file():
            return root
    raise BundleError(f"{source} holds no bundle: it has no {MANIFEST}")
