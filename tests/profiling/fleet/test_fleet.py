"""The whole fleet over a real sshd: two hosts, resuming, and every way a host can fail."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.profiling.fleet.conftest import free_port, make_key, until


def _listing(folder: Path) -> dict[str, int]:
    """Every file with the time of its last change."""
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def _script(path: Path, *lines: str) -> str:
    path.write_text("\n".join(("#!/bin/sh", *lines, "")))
    path.chmod(0o755)
    return str(path)


def test_two_hosts_side_by_side_and_nothing_twice(fleet, call):
    two, folder = 'two, with spaces\' and "quotes"', fleet.folder / 'it\'s a "folder" $HOME'
    python = fleet.folder / "it's a $python"
    python.symlink_to(_script(fleet.folder / "python", f'exec {sys.executable} "$@"'))
    folders = [fleet.add("one"), folder]
    fleet.add(two, address="two", threads=2, folder=str(folder), python=str(python))
    done = call()
    assert done.code == 0, done.err
    assert done.devices == ["one", "one", two, two] and not done.results.failures
    assert {(record.subject.device[:3], record.threads, record.runs) for record in done.results.records} == {
        ("one", 1, 4), ("two", 2, 4),
    }  # fmt: skip
    head, *rows = done.out.splitlines()
    assert head.split() == ["host", "bundle", "result"] and len(rows) == 4
    assert rows[0].startswith("one ") and " ours_n0 onnx fp32 " in rows[0] and "payload bytes" in rows[0]
    for step in ("connecting", "copying 1/3", "copying 3/3", "measuring", "fetching", "done: 2 records"):
        assert f"one: {step}\n" in done.err
    for folder in folders:
        assert sorted(path.name for path in folder.iterdir()) == ["bundles", "lock", "log.txt", "pictures", "results"]
        assert not list((folder / "results").iterdir()), "what has arrived is not kept there"
        assert not list(folder.rglob(".*")), "nothing half copied"

    before = [_listing(folder) for folder in folders], fleet.output.read_bytes()
    again = call("--json")
    assert again.code == 0 and "connecting" not in again.err
    assert ([_listing(folder) for folder in folders], fleet.output.read_bytes()) == before
    said = json.loads(again.out)
    assert said["ok"] and said["hosts"]["one"] == {"records": 2, "before": 2, "failures": []}


def test_resuming_measures_only_what_is_missing(fleet, call):
    folder = fleet.add("one")
    onnx, both = fleet.bundles[:1], fleet.bundles
    fleet.bundles = onnx
    assert call().code == 0
    before = _listing(folder)
    fleet.bundles = both
    done = call()
    assert done.code == 0 and [record.target for record in done.results.records] == ["onnx", "tflite"]
    assert "copying 1/1" in done.err, "the pictures and the first bundle are there"
    after = _listing(folder)
    copied = {name: when for name, when in before.items() if name.startswith(("bundles", "pictures"))}
    assert copied.items() <= after.items()


def test_only_some_hosts(fleet, call):
    fleet.add("one", python="/absent")
    fleet.add("two", python="/absent")
    done = call("--only", "two")
    assert done.code == 1 and {each.subject.device for each in done.results.failures} == {"two"}


def test_hosts_that_cannot_be_reached_stand_in_the_table(fleet, call, server):
    """One good host among those that ssh refuses, each for its own reason."""
    good = fleet.bundles[0]
    fleet.bundles = [good]
    fleet.add("good")
    fleet.add("wrong key", address="a", identity=str(make_key(fleet.folder / "other_key")))
    config = fleet.folder / "wrong key.ssh_config"
    config.write_text("\n".join(x for x in config.read_text().splitlines() if not x.startswith("IdentityFile")))
    fleet.add("no key", address="a", identity="absent", ssh_config=str(config))
    other = make_key(fleet.folder / "other_host_key").with_suffix(".pub").read_text()
    (fleet.folder / "changed hosts").write_text(f"a {other}")
    fleet.add("changed", address="a", ssh=f'UserKnownHostsFile "{fleet.folder}/changed hosts"\nHostKeyAlias a')
    fleet.add("unknown", address="a", ssh="HostKeyAlias stranger")
    closed = free_port()
    fleet.add("closed", address="a", port=closed)
    fleet.add("nameless", address="a", ssh="HostName no-such-name.invalid")
    fleet.add("config", address="a", ssh="Prot 22")
    known = fleet.known_hosts.read_bytes()
    done = call()
    assert done.code == 1 and done.devices == ["good"] and len(done.results.failures) == 7
    for name, words in {
        "wrong key": ("is not let in with", "other_key", "permission denied", "ssh-copy-id"),
        "no key": ("was not let in", f"{fleet.folder}/absent cannot be read"),
        "changed": ("installed anew, or another machine", "only then: ssh-keygen -f", "changed hosts' -R a"),
        "unknown": ("not known yet; connect once by hand", "verify the fingerprint: ssh -F", " a"),
        "closed": (f"nothing answers at 127.0.0.1 port {closed}",),
        "nameless": ("no machine has the name no-such-name.invalid",),
        "config": ("does not take its configuration", "prot"),
    }.items():
        why = done.why(name)
        assert all(word in why for word in words), (name, why)
        assert "\n" not in why and f"{name}: failed: {why}\n" in done.err
        (row,) = (line for line in done.out.splitlines() if line.startswith(f"{name} "))
        assert row.endswith(f"failed: {why}")
    assert fleet.known_hosts.read_bytes() == known


def test_hosts_that_lack_something(fleet, call):
    bare = fleet.folder / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    blocking = fleet.folder / "blocking"
    blocking.mkdir()
    (blocking / "sitecustomize.py").write_text("import sys\nsys.modules['ai_edge_litert'] = None\n")
    engineless = _script(
        fleet.folder / "python", f"PYTHONPATH={blocking}", "export PYTHONPATH", f'exec {sys.executable} "$@"'
    )
    older = _script(
        fleet.folder / "older",
        "shift; exec " + sys.executable + ' -c "import profiling.records as r; r.SCHEMA = 1; $1"',
    )
    crashing = _script(
        fleet.folder / "crashing", '[ "$1" = -m ] && { echo made-up crash >&2; exit 3; }', f'exec {sys.executable} "$@"'
    )
    fleet.add("bare", python=str(bare / "bin" / "python"))
    fleet.add("none", python="~/no such/python")
    fleet.add("engineless", python=engineless)
    fleet.add("older", python=older)
    fleet.add("crashing", python=crashing)
    fleet.add("full", folder="/proc/fleet")
    done = call()
    assert done.code == 1
    assert "has no splitport; install it there" in done.why("bare")
    assert done.why("none").startswith("~/no such/python cannot be run there; set python")
    assert "of schema 1, this one reads 2; install the same version on both" in done.why("older")
    assert done.why("crashing") == "its profiler left no record of 4 encodes: made-up crash"
    assert "/proc/fleet" in done.why("full")
    assert "splitport[litert]" in done.why("engineless")
    assert [(record.subject.device, record.target) for record in done.results.records] == [("engineless", "onnx")]
    assert [each.subject.target for each in done.results.failures if each.subject.device == "engineless"] == ["tflite"]
    assert "engineless: done: 1 of 2 records, failed: " in done.err
    assert any(line.split()[:5] == ["bare", "all", "2", "bundles", "failed:"] for line in done.out.splitlines())


def test_records_that_cannot_be_read_here(fleet, call):
    """A host whose profiler writes lines that this version does not know."""
    fleet.bundles = fleet.bundles[:1]
    newer = _script(
        fleet.folder / "newer", "if [ \"$1\" = -m ]; then",
        "while [ \"$1\" != -o ]; do shift; done", "echo '{\"schema\": 99}' > \"$2\"; exit", "fi",
        f'exec {sys.executable} "$@"',
    )  # fmt: skip
    folder = fleet.add("newer", python=newer)
    done = call()
    assert done.code == 1
    assert done.why("newer") == (
        "its records cannot be read here (newer, line 1 passed over: its schema is 99, this version reads 2); "
        "install the same splitport on both"
    )
    assert len(list((folder / "results").iterdir())) == 1, "they stay for a version that can"


def test_a_connection_that_is_cut_while_measuring(fleet, call, proxy, server):
    """The profiler goes on to its end; the next run waits for it and fetches what it left."""
    folder = fleet.add("board", port=proxy.port)
    fleet.known_hosts.write_text(server.known(proxy.port))

    def cut_when_measuring() -> None:
        until((folder / "log.txt").exists, "the profiler to start")
        proxy.cut()

    cutter = threading.Thread(target=cut_when_measuring)
    cutter.start()
    cut = call("--runs", "400")
    cutter.join()
    assert cut.code == 1 and not cut.results.records and "connection lost" in cut.why("board")
    done = call("--runs", "400")
    assert done.code == 0 and done.devices == ["board", "board"]
    assert "board: waiting for process " in done.err and "which works there" in done.err
    assert "board: fetching" in done.err and "copying" not in done.err and "measuring" not in done.err
    assert "board: 2 results of an earlier run were waiting there" in done.err
    assert not list((folder / "results").iterdir())


def test_a_connection_that_is_cut_while_copying(fleet, call, proxy, server):
    folder = fleet.add("board", port=proxy.port)
    fleet.known_hosts.write_text(server.known(proxy.port))
    proxy.cut_after = 150_000
    cut = call()
    assert cut.code == 1 and "connection lost" in cut.why("board") and "board: copying 1/3" in cut.err
    assert not any(path.is_dir() for path in folder.glob("*/[!.]*")), "nothing half copied has a name"
    proxy.cut_after = None
    done = call()
    assert done.code == 0 and done.devices == ["board", "board"]
    assert not list(folder.glob("*/.*"))


def test_two_fleets_at_once_measure_one_after_the_other(fleet, call):
    """Two names of one machine: the profiler of one does not disturb that of the other."""
    fleet.bundles = fleet.bundles[:1]
    shared = fleet.add("first")
    fleet.add("second", folder=str(shared), threads=2)
    done = call("--runs", "50")
    assert done.code == 0 and done.devices == ["first", "second"]
    assert "waiting for process " in done.err


@pytest.mark.parametrize("moment", ["measuring", "copying"])
def test_ctrl_c_leaves_nothing_running(moment, fleet, proxy, server):
    folder = fleet.add("board", port=proxy.port)
    fleet.known_hosts.write_text(server.known(proxy.port))
    command = [sys.executable, "-m", "profiling", *fleet.arguments("--runs", "100000")]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    while not process.stderr.readline().startswith(f"board: {moment}"):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    try:
        _, error = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 1 and error.splitlines()[-1].endswith("interrupted"), error
    assert not fleet.output.exists(), "an interrupted host has not failed"
    mine = str(fleet.folder).encode()
    until(lambda: not _running(mine, b"ssh") and not _running(mine, b"profiling"), "ssh and the profiler to end")
    assert not any(path.is_dir() for path in folder.glob("*/.*")), "nothing half copied"


def _running(where: bytes, what: bytes) -> list[bytes]:
    """Command lines of processes that name both, or that work in that folder and name one."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command, folder = (process / "cmdline").read_bytes(), os.fsencode((process / "cwd").readlink())
        except OSError:
            continue
        if process.name != str(os.getpid()) and what in command and (where in command or where in folder):
            found.append(command)
    return found


def test_without_ssh(fleet, call):
    fleet.add("board")
    from plumbum import local

    with local.env(PATH=str(fleet.folder)):
        local.clear_program_cache()
        done = call()
    assert done.code == 2 and "needs the ssh of OpenSSH" in done.err


@pytest.mark.parametrize("library", ["plumbum", "rich"])
def test_without_the_libraries(library, fleet, call, monkeypatch):
    fleet.add("board")
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.setitem(sys.modules, f"{library}.console", None)
    monkeypatch.setattr("sys.stderr.isatty", lambda: library == "rich")
    done = call()
    assert done.code == 2 and "pip install 'splitport[fleet]'" in done.err.splitlines()[-1]
    assert not fleet.output.exists()
