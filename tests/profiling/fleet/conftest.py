"""Hosts for the fleet: a real sshd on this machine, with keys, known hosts and a client configuration of its own."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from profiling import records
from profiling.commands import main
from profiling.records import Results

_SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Server:
    """A running sshd."""

    port: int
    key: Path
    """That it lets in."""
    host_key: str
    """As a line of known_hosts has it."""

    def known(self, port: int | None = None) -> str:
        return f"[{_LOOPBACK}]:{port or self.port} {self.host_key}\n"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Listens on the loopback interface until the tests are done."""
    if _SSHD is None or not shutil.which("ssh"):
        pytest.skip("sshd or ssh is not installed")
    folder = tmp_path_factory.mktemp("sshd")
    key, host_key = make_key(folder / "key"), make_key(folder / "host_key")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it locks itself in
    port = free_port()
    (folder / "config").write_text(
        f"Port {port}\nListenAddress {_LOOPBACK}\nHostKey {host_key}\nAuthorizedKeysFile {key}.pub\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\nPidFile none\n"
        "PermitRootLogin prohibit-password\nMaxStartups 50\nPrintMotd no\nSetEnv OMP_NUM_THREADS=1\n"
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([_SSHD, "-D", "-e", "-f", str(folder / "config")], stderr=log)
    try:
        until(lambda: answers(port) or process.poll() is not None, "sshd to answer")
        assert process.poll() is None, (folder / "log").read_text()
        yield Server(port, key, Path(f"{host_key}.pub").read_text().rsplit(maxsplit=1)[0])
    finally:
        process.terminate()
        process.wait(10)


class Proxy:
    """Passes bytes on between ssh and sshd until it is cut."""

    def __init__(self, port: int) -> None:
        self._behind = port
        self._listening = socket.create_server((_LOOPBACK, 0))
        self.port = self._listening.getsockname()[1]
        self._pairs: list[socket.socket] = []
        self.cut_after: int | None = None
        """Bytes towards the host in one connection, after which it is cut by itself."""
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """As if a cable were pulled, and put back at once."""
        for end in self._pairs:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._pairs.clear()

    def close(self) -> None:
        self._listening.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection((_LOOPBACK, self._behind))
                self._pairs += [near, far]
                threading.Thread(target=self._pass, args=(near, far, True), daemon=True).start()
                threading.Thread(target=self._pass, args=(far, near, False), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, upwards: bool) -> None:
        passed = 0
        with suppress(OSError):
            while block := source.recv(1 << 14):
                sink.sendall(block)
                passed += len(block)
                if upwards and self.cut_after is not None and passed > self.cut_after:
                    self.cut()
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        source.close()


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    """A way to the server that can be cut."""
    made = Proxy(server.port)
    yield made
    made.close()


@dataclass(frozen=True)
class Outcome:
    """What a shell would see, and what the output holds."""

    code: int
    out: str
    err: str
    results: Results

    @property
    def devices(self) -> list[str]:
        """Of records, sorted."""
        return sorted(record.subject.device for record in self.results.records)

    def why(self, host: str) -> str:
        """The one reason why nothing was measured there."""
        (why,) = {each.failure for each in self.results.failures if each.subject.device == host}
        return why


class Fleet:
    """Hosts that are all the server, in folders of their own, and the command over them."""

    def __init__(self, folder: Path, server: Server, bundles: list[Path], images: Path) -> None:
        self.folder, self.bundles, self.images, self._server = folder, bundles, images, server
        self.output = folder / "results.jsonl"
        self.known_hosts = folder / "known_hosts"
        self.known_hosts.write_text(server.known())
        self._hosts: dict[str, dict[str, object]] = {}

    def add(self, name: str, ssh: str = "", **table: object) -> Path:
        """A host; returns its folder. ``ssh``: lines of its ssh_config that go before ours."""
        config = self.folder / f"{name}.ssh_config"
        config.write_text(
            f"{ssh}\nHostName {_LOOPBACK}\nPort {self._server.port}\nUser {getpass.getuser()}\n"
            f"IdentityFile {self._server.key}\nIdentitiesOnly yes\nIdentityAgent none\n"
            f"UserKnownHostsFile {self.known_hosts}\nGlobalKnownHostsFile /dev/null\n"
        )
        folder = self.folder / "hosts" / name
        defaults = {"python": sys.executable, "folder": str(folder), "ssh_config": str(config), "threads": 1}
        self._hosts[name] = {**defaults, **table}
        return folder

    def arguments(self, *more: object) -> list[str]:
        """Of the command; the hosts are written down."""
        text = "".join(
            f"[hosts.{json.dumps(name)}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
            for name, table in self._hosts.items()
        )
        hosts = self.folder / "hosts.toml"
        hosts.write_text(text)
        words = ["fleet", hosts, *self.bundles, "--images", self.images, "-o", self.output, "--runs", 4, *more]
        return [str(word) for word in words]


@pytest.fixture
def fleet(server, make_bundle, photographs, tmp_path) -> Fleet:
    """Without hosts yet; measures two bundles."""
    bundles = [make_bundle("ours_n0", target, weights="seeded") for target in ("onnx", "tflite")]
    return Fleet(tmp_path, server, bundles, photographs[0].parent)


@pytest.fixture
def call(fleet, capfd) -> Callable[..., Outcome]:
    """Runs the command in this process."""

    def run(*more: object) -> Outcome:
        capfd.readouterr()
        code = main(fleet.arguments(*more))
        results = records.read(fleet.output) if fleet.output.exists() else Results([])
        return Outcome(code, *capfd.readouterr(), results)

    return run


def make_key(path: Path) -> Path:
    """A new key without a passphrase."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)], check=True)
    return path


def free_port() -> int:
    """Nobody listens there."""
    with socket.socket() as tried:
        tried.bind((_LOOPBACK, 0))
        return tried.getsockname()[1]


def answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection((_LOOPBACK, port), timeout=1):
        return True
    return False


def until(happened: Callable[[], object], what: str, seconds: float = 30) -> None:
    """Wait for something that is to happen."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, f"waited {seconds} seconds for {what}"
        time.sleep(0.02)
