"""What a host does for the fleet. This text is sent there with every errand, so it needs nothing but Python.

Its stdin holds this text, one line of JSON that names the errand, and what else the errand takes. Its stdout holds
lines of JSON, marked, for a shell may print others: what goes on meanwhile, and last the answer.

One errand at a time works in the folder: each holds a lock, and the profiler inherits it. A connection that is cut
does not end the profiler; it goes on to its end, its results stay in the folder, and whoever comes next waits for it.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import IO, Any

MARK = "splitport fleet: "
_RESULTS, _LOG, _LOCK = Path("results"), Path("log.txt"), Path("lock")
#: Seconds without a byte after which whoever was sending is taken for gone.
_SILENCE = 30


class AgentError(Exception):
    """Why an errand cannot be done."""


def look(errand: dict[str, Any]) -> dict[str, Any]:
    """Which of these parcels are here, and the results that nobody took yet."""
    schema = _schema()
    with _alone():
        there = [name for name, files in errand["parcels"].items() if intact(Path(name), files)]
        return {"schema": schema, "there": there, "results": _results()}


def receive(errand: dict[str, Any]) -> dict[str, Any]:
    """A parcel, as a tar archive on stdin. It gets its name when all of it is here."""
    target, files = Path(errand["name"]), errand["files"]
    part = target.with_name(f".{target.name}.part")
    with _alone():
        if intact(target, files):  # somebody else was faster
            return {}
        shutil.rmtree(part, ignore_errors=True)
        try:
            with tarfile.open(fileobj=_Patient(), mode="r|") as archive:
                for member in archive:
                    content = archive.extractfile(member)
                    if content is not None and member.name in files:
                        file = part / member.name
                        file.parent.mkdir(parents=True, exist_ok=True)
                        with file.open("wb") as written:
                            shutil.copyfileobj(content, written)
            if not intact(part, files):
                raise AgentError("what arrived is not what was sent; try again")
            shutil.rmtree(target, ignore_errors=True)  # it was not intact
            part.rename(target)
        except tarfile.TarError as why:
            raise AgentError(f"the copy broke off: {why}") from why
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return {}


def measure(errand: dict[str, Any]) -> dict[str, Any]:
    """Run the profiler and wait for it; a word on stdin stops it, the end of stdin does not."""
    _RESULTS.mkdir(exist_ok=True)
    output = _RESULTS / f"{time.time_ns()}.jsonl"  # none that holds what another version wrote
    with _alone() as lock, _LOG.open("wb") as log:
        child = subprocess.Popen(
            [_program(errand["python"]), "-m", "profiling", "run", *errand["arguments"], "-o", str(output)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
            start_new_session=True, pass_fds=[lock.fileno()],
        )  # fmt: skip
        _sign(lock, child.pid)
        tell(state="measuring")
        while child.poll() is None:
            said = _said(0.5)
            if said is not None:
                if said:
                    os.killpg(child.pid, signal.SIGTERM)
                    child.wait()
                sys.exit()
        return {"results": _results(), "log": _LOG.read_text(errors="replace").splitlines()[-3:]}


def forget(errand: dict[str, Any]) -> dict[str, Any]:
    """Drop results that have arrived.

    Without the lock, for whoever measures now writes a file of its own, once, at the end.
    """
    for file in _RESULTS.glob("*.jsonl"):
        lines = _text(file).splitlines(keepends=True)
        kept = [line for line in lines if _key(line) not in errand["arrived"]]
        if kept and kept != lines:
            part = file.with_suffix(".part")
            part.write_text("".join(kept), encoding="utf-8")
            part.replace(file)
        elif not kept:
            file.unlink(missing_ok=True)
    return {}


def intact(folder: Path, files: dict[str, str]) -> bool:
    """Are all these files there, with these digests?"""
    return all((folder / name).is_file() and digest(folder / name) == known for name, known in files.items())


def digest(file: Path) -> str:
    """SHA-256."""
    summed = hashlib.sha256()
    with file.open("rb") as opened:
        while block := opened.read(1 << 20):
            summed.update(block)
    return summed.hexdigest()


def tell(**event: Any) -> None:
    """One line to whoever sent the errand."""
    print(MARK + json.dumps(event), flush=True)


class _Patient(io.RawIOBase):
    """Stdin, for as long as something comes."""

    def readable(self) -> bool:
        return True

    def readinto(self, block: Any) -> int:
        signal.alarm(_SILENCE)
        try:
            return _stdin().readinto1(block)
        finally:
            signal.alarm(0)


def _stdin() -> io.BufferedReader:
    assert isinstance(sys.stdin.buffer, io.BufferedReader)
    return sys.stdin.buffer


def _said(seconds: float) -> bytes | None:
    """What came on stdin meanwhile: nothing, or nothing any more, or a word; it may have come with the errand."""
    os.set_blocking(0, False)
    early = _stdin().peek(1)
    os.set_blocking(0, True)
    if early or not select.select([0], [], [], seconds)[0]:
        return early or None
    return os.read(0, 64)


def _silent(*_: object) -> None:
    raise AgentError(f"nothing came for {_SILENCE} seconds")


def _alone() -> IO[str]:
    """The lock, once nobody else copies or measures here. The system opens it when its holders end, however they do."""
    lock = _LOCK.open("a+")
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            tell(state="waiting", process=lock.read())  # fails, and ends this, where nobody listens any more
            time.sleep(1)
        else:
            _sign(lock, os.getpid())
            return lock


def _sign(lock: IO[str], process: int) -> None:
    lock.truncate(0)
    lock.write(str(process))
    lock.flush()


def _schema() -> int:
    """Of the records that the splitport here makes."""
    try:
        from profiling.records import SCHEMA
    except ModuleNotFoundError as why:
        if why.name not in ("profiling", "profiling.records", "runtime"):
            raise AgentError(f"its splitport lacks a module: {why}") from why
        raise AgentError(f"{sys.executable} has no splitport; install it there or set python") from why
    except ImportError as why:
        raise AgentError(f"its splitport cannot be imported: {why}") from why
    return SCHEMA


def _results() -> str:
    return "\n".join(map(_text, sorted(_RESULTS.glob("*.jsonl"))))


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")


def _key(line: str) -> list[Any] | None:
    """What tells a line of results from others; see :func:`profiling.fleet.plan.key`."""
    try:
        entry = json.loads(line)
        subject = entry.get("subject") or {**entry, "device": entry["device"]["name"]}
        return [subject["device"], subject["bundle_sha256"], subject["threads"], entry["date"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _program(python: str) -> str:
    """As the shell found it, wherever this works."""
    return str(Path.home() / Path(python).expanduser()) if "/" in python else python


def main() -> None:
    """Do the errand that stdin names."""
    errand = json.loads(sys.stdin.buffer.readline())
    signal.signal(signal.SIGALRM, _silent)
    try:
        folder = Path.home() / Path(errand["folder"]).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        os.chdir(folder)
        does = {"look": look, "receive": receive, "measure": measure, "forget": forget}[errand["errand"]]
        tell(answer=does(errand))
    except AgentError as why:
        tell(error=str(why))
    except OSError as why:
        tell(error=": ".join(str(part) for part in (why.filename, why.strerror) if part))


if __name__ == "__main__":
    main()
