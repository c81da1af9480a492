"""Give a device another bundle without a moment in which it has none.

``LINK`` is a symlink into ``versions/`` beside it, where each bundle that was ever switched to has a directory of its
own. A new one is put together there under a hidden name, verified, and proven by its self-test on this machine; only
then does a rename give LINK its new target. So LINK leads to a whole bundle at each moment, whatever stops this
program, a power cut included. Programs that have opened the old one go on with it; they must be started anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from runtime.bundle import MANIFEST, Bundle
from runtime.errors import BundleError, UsageError
from runtime.files import write_atomically
from runtime.unpack import unpack

VERSIONS = "versions"
_LOCK = ".lock"
_INCOMING = ".incoming-"
_DIGITS = 16

#: Raises where a bundle does not work on this machine.
Proof = Callable[[Path], None]


@dataclass(frozen=True)
class Switch:
    """What an update did."""

    version: str
    before: str | None
    """None where LINK was made; the same as ``version`` where nothing was to be done."""
    removed: list[str]


def update(link: Path, source: str, prove: Proof, keep: int = 2, sha256: str | None = None) -> Switch:
    """Fetch a bundle, prove it and switch to it; where that fails LINK stays as it is.

    ``source`` is a directory, a .tar or .tar.gz file, or an http(s) URL of one. ``keep`` counts the current version.
    """
    if keep < 1:
        raise UsageError(f"--keep must be at least 1, the version in use; not {keep}")
    with _locked(link) as store:
        before = _current(link, store)
        with _incoming(store) as incoming:
            root = unpack(source, incoming, sha256)
            Bundle.open(root)
            prove(root)
            version = _admit(root, store)
        _switch(link, store, version)
        return Switch(version, before, _prune(link, store, keep))


def roll_back(link: Path, prove: Proof) -> Switch:
    """Switch to the version that was in use before this one."""
    if not link.is_symlink():
        raise UsageError(f"{link} is no link that an update made; there is nothing to go back to")
    with _locked(link) as store:
        before = _current(link, store)
        older = _history(link, store)
        older = older[older.index(before) + 1 :] if before in older else older
        version = next((each for each in older if (store / each / MANIFEST).is_file()), None)
        if before is None or version is None:
            raise UsageError(f"{link} has no earlier version to go back to")
        Bundle.open(store / version)
        prove(store / version)
        _point(link, version)
        return Switch(version, before, [])


@contextlib.contextmanager
def _locked(link: Path) -> Iterator[Path]:
    """The folder of versions, for one update at a time; the kernel ends the lock with the process that holds it."""
    import fcntl  # not on Windows, whose symlinks need an administrator anyway

    if link.name in ("", "..", VERSIONS):
        raise UsageError(f"{link} is no name for a link")
    store = link.parent / VERSIONS
    store.mkdir(parents=True, exist_ok=True)
    with (store / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as why:
            raise BundleError(f"another update in {link.parent} is under way; try again when it is done") from why
        for left in store.glob(f"{_INCOMING}*"):  # by an update that was killed
            shutil.rmtree(left, ignore_errors=True)
        for left in store.glob("..*"):  # a record that it had not finished writing
            left.unlink(missing_ok=True)
        yield store


@contextlib.contextmanager
def _incoming(store: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=_INCOMING, dir=store))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _current(link: Path, store: Path) -> str | None:
    """Name of the version that LINK leads to; None where there is no LINK yet."""
    if not link.is_symlink():
        if link.exists():
            raise UsageError(f"{link} is no link: move it away, and give it as SOURCE if it is a bundle")
        return None
    target = link.readlink()
    if target.parent.name != VERSIONS or (link.parent / target).parent.resolve() != store.resolve():
        raise UsageError(f"{link} leads to {target}, not into {store}: remove the link, and give that as SOURCE")
    return target.name


def _admit(root: Path, store: Path) -> str:
    """Give a proven bundle its name; one that is there already, and whole, stays instead."""
    manifest = (root / MANIFEST).read_bytes()
    name = digest = hashlib.sha256(manifest).hexdigest()[:_DIGITS]
    attempt = 1
    while (store / name).exists():
        with contextlib.suppress(BundleError, OSError):
            if (store / name / MANIFEST).read_bytes() == manifest and Bundle.open(store / name):
                return name
        attempt += 1  # that one is damaged, and perhaps in use
        name = f"{digest}-{attempt}"
    root.chmod(0o755)
    for path in (*root.rglob("*"), root):
        _sync(path)
    root.rename(store / name)
    _sync(store)
    return name


def _switch(link: Path, store: Path, version: str) -> None:
    """First write down what comes before what: whoever is stopped in between finds LINK in the list all the same."""
    current = _current(link, store)
    if current == version:
        return
    older = [each for each in (current, *_history(link, store)) if each not in (None, version)]
    order = list(dict.fromkeys([version, *older]))
    write_atomically(_record(link, store), json.dumps(order).encode())
    _point(link, version)


def _point(link: Path, version: str) -> None:
    """A symlink cannot be changed, but another can be renamed over it."""
    fresh = link.with_name(f".{link.name}-next")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(Path(VERSIONS, version))
    fresh.replace(link)
    _sync(link.parent)


def _prune(link: Path, store: Path, keep: int) -> list[str]:
    """Remove versions that no link here leads to and no link's list has among its first."""
    current = _current(link, store)
    order = [current, *(each for each in _history(link, store) if each != current)][:keep]
    write_atomically(_record(link, store), json.dumps(order).encode())
    linked = [each.readlink().name for each in link.parent.iterdir() if each.is_symlink()]
    kept = {*linked, *(each for record in store.glob(".*.json") for each in _read(record))}
    removed = sorted(each.name for each in store.iterdir() if not each.name.startswith(".") and each.name not in kept)
    for name in removed:
        aside = store / f"{_INCOMING}{name}"  # no half version under its own name
        (store / name).rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
    return removed


def _record(link: Path, store: Path) -> Path:
    return store / f".{link.name}.json"


def _history(link: Path, store: Path) -> list[str]:
    """Versions of a link, the latest first. A board's clock may run backwards, so no file's date tells this."""
    return _read(_record(link, store))


def _read(record: Path) -> list[str]:
    with contextlib.suppress(OSError, ValueError):
        names = json.loads(record.read_bytes())
        if isinstance(names, list):
            return [name for name in names if isinstance(name, str) and "/" not in name and not name.startswith(".")]
    return []


def _sync(path: Path) -> None:
    """Onto the disk: a rename may get there before what was renamed."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
