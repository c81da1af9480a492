"""One host over the system's ssh: what is asked of it, and its answers.

Keys, known hosts, agent and ``~/.ssh/config`` are those of the user's own ssh. Host keys are always checked.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

from profiling.fleet import agent
from profiling.fleet.cargo import Parcel
from profiling.fleet.hosts import Host
from profiling.fleet.troubles import explain, options
from runtime.errors import SplitportError, UsageError

#: Nothing may ask for what nobody is there to type; a dead connection is noticed within 25 seconds; and what a user's
#: configuration adds for work by hand (a terminal, forwarded ports, a command) has no place here.
_OPTIONS = [
    "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5",
    "-o", "ServerAliveCountMax=4", "-o", "LogLevel=ERROR", "-o", "ClearAllForwardings=yes", "-o", "RemoteCommand=none",
]  # fmt: skip
#: The host's part arrives on stdin, so that any shell can start it, and nothing is left behind there.
_START = (
    "import sys; sys.version_info >= (3, 10) or sys.exit('its Python is %d.%d; splitport needs 3.10' "
    "% sys.version_info[:2]); exec(sys.stdin.buffer.read({}))"
)
_PATIENCE = 3

Hear = Callable[[dict[str, Any]], None]
Pour = Callable[[IO[bytes]], None]


class HostError(SplitportError):
    """What is wrong with a host, or with the way to it."""


class Link:
    """Errands for one host, one after another. ``end`` may come from another thread."""

    def __init__(self, host: Host, hear: Hear) -> None:
        self._host, self._hear = host, hear
        self._guard, self._writing = threading.Lock(), threading.Lock()
        self._process: Any = None
        self._measuring = False
        self.ended = False

    def look(self, parcels: Iterable[Parcel]) -> dict[str, Any]:
        """The schema of its records, which of these parcels are ``there``, and ``results`` that wait."""
        return self._errand({"errand": "look", "parcels": {parcel.name: parcel.digests for parcel in parcels}})

    def send(self, parcel: Parcel) -> None:
        """Copy it; it gets its name when all of it has arrived."""
        self._errand({"errand": "receive", "name": parcel.name, "files": parcel.digests}, parcel.pour)

    def measure(self, arguments: list[str]) -> dict[str, Any]:
        """Run the profiler: its ``results``, and the end of its ``log``."""
        self._measuring = True
        try:
            return self._errand({"errand": "measure", "python": self._host.python, "arguments": arguments})
        finally:
            self._measuring = False

    def forget(self, keys: Iterable[tuple[Any, ...]]) -> None:
        """These results have arrived."""
        self._errand({"errand": "forget", "arrived": list(keys)})

    def end(self) -> None:
        """Stop what it does, the profiler too, and let nothing more begin."""
        with self._guard:
            self.ended, process = True, self._process
        if process is None:
            return
        with contextlib.suppress(OSError, ValueError, subprocess.TimeoutExpired):
            if self._measuring:
                with self._writing:
                    os.write(process.stdin.fileno(), b"stop\n")
                process.wait(_PATIENCE)
        with contextlib.suppress(OSError):
            process.terminate()

    def _errand(self, what: dict[str, Any], pour: Pour | None = None) -> dict[str, Any]:
        text = Path(agent.__file__).read_bytes()
        line = json.dumps({**what, "folder": self._host.folder}).encode() + b"\n"
        with tempfile.TemporaryFile() as said:  # a pipe that nobody reads would fill up
            process = self._start(len(text), said)
            try:
                with contextlib.suppress(BrokenPipeError):  # what was wrong is on stderr
                    with self._writing:
                        process.stdin.write(text + line)
                        process.stdin.flush()
                    if pour:
                        pour(process.stdin)
                        process.stdin.flush()
                answer = self._listen(process.stdout)
            finally:
                self._finish(process)
            said.seek(0)
            if answer is None:
                raise HostError(explain(self._host, process.returncode, said.read().decode(errors="replace")))
        return answer

    def _start(self, length: int, said: IO[bytes]) -> Any:
        try:
            from plumbum import CommandNotFound, local
        except ImportError as why:
            raise UsageError("the fleet needs plumbum: pip install 'splitport[fleet]'") from why
        try:
            ssh = local["ssh"]
        except CommandNotFound as why:
            raise UsageError("the fleet needs the ssh of OpenSSH, and there is none on the PATH") from why
        command = f"{_quoted(self._host.python)} -c {shlex.quote(_START.format(length))}"
        with self._guard:
            if self.ended:
                raise HostError("interrupted")
            # In a session of its own, so that Ctrl-C is ours to pass on.
            arguments = [*_OPTIONS, *options(self._host), "--", self._host.address, command]
            self._process = ssh[arguments].popen(stderr=said, new_session=True)
        return self._process

    def _listen(self, lines: Iterable[bytes]) -> dict[str, Any] | None:
        for line in lines:
            _, marked, text = line.decode(errors="replace").partition(agent.MARK)
            if not marked:
                continue
            try:
                event: dict[str, Any] = json.loads(text)
            except ValueError:  # cut off in the middle of a line
                return None
            if "error" in event:
                raise HostError(event["error"])
            if "answer" in event:
                answer: dict[str, Any] = event["answer"]
                return answer
            self._hear(event)
        return None

    def _finish(self, process: Any) -> None:
        """No process outlives its errand."""
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        with self._guard:
            self._process = None


def _quoted(path: str) -> str:
    """For the host's shell, which is to know ``~``."""
    return f"~/{shlex.quote(path[2:])}" if path.startswith("~/") else shlex.quote(path)
