"""The host's part, run as a host runs it: its text on stdin, and a shell that starts Python."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from profiling.fleet import agent, remote
from tests.profiling.fleet.conftest import until

CONTENT = {"a/one.bin": b"1" * 5000, "two.bin": b"2"}
DIGESTS = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}


class Host:
    """A folder, and errands there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.text = Path(agent.__file__).read_text()

    def start(self, more: bytes = b"", **errand: object) -> subprocess.Popen[bytes]:
        text = self.text.encode()
        process = subprocess.Popen(
            [sys.executable, "-c", remote._START.format(len(text))], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        line = json.dumps({**errand, "folder": str(self.folder)}).encode() + b"\n"
        process.stdin.write(text + line + more)
        process.stdin.flush()
        return process

    def ask(self, more: bytes = b"", **errand: object) -> dict[str, object]:
        """The last line; stdin ends with what it is given."""
        out, _ = self.start(more, **errand).communicate(timeout=30)
        return json.loads(out.decode().splitlines()[-1].removeprefix(agent.MARK))

    def python(self, script: str) -> str:
        """A program that stands for the host's Python."""
        path = self.folder / "python"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)

    def free(self) -> bool:
        """Does nobody work here?"""
        with (self.folder / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True


@pytest.fixture
def host(tmp_path) -> Host:
    return Host(tmp_path)


def _archive(content: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w|") as archive:
        for name, each in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(each)
            archive.addfile(member, io.BytesIO(each))
    return made.getvalue()


def test_a_parcel_gets_its_name_when_all_of_it_is_there(host):
    errand = {"errand": "receive", "name": "parcels/x", "files": DIGESTS}
    (host.folder / "parcels" / ".x.part").mkdir(parents=True)
    (host.folder / "parcels" / ".x.part" / "left").write_text("by a copy that broke off")
    whole = _archive(CONTENT)
    for wrong in (b"", whole[:3000], whole[: len(whole) // 2], _archive({**CONTENT, "two.bin": b"3"})):
        assert "error" in host.ask(wrong, **errand)
        assert list((host.folder / "parcels").iterdir()) == []
    assert host.ask(_archive({**CONTENT, "../outside": b"", "/tmp/outside": b""}), **errand) == {"answer": {}}
    arrived = host.folder / "parcels" / "x"
    found = {p.relative_to(arrived).as_posix(): p.read_bytes() for p in arrived.rglob("*") if p.is_file()}
    assert found == CONTENT and sorted(p.name for p in host.folder.iterdir()) == ["lock", "parcels"]

    look = {"errand": "look", "parcels": {"parcels/x": DIGESTS, "parcels/y": DIGESTS}}
    assert host.ask(**look)["answer"] == {"schema": 2, "there": ["parcels/x"], "results": ""}
    (arrived / "two.bin").write_bytes(b"3")
    assert host.ask(**look)["answer"]["there"] == []
    assert host.ask(whole, **errand) == {"answer": {}} and (arrived / "two.bin").read_bytes() == b"2"


def test_a_sender_that_says_nothing_more_is_given_up(host):
    host.text = host.text.replace("_SILENCE = 30", "_SILENCE = 1")
    with host.start(_archive(CONTENT)[:2000], errand="receive", name="x", files=DIGESTS) as process:
        assert b"nothing came for 1 seconds" in process.stdout.read()
    assert [path.name for path in host.folder.iterdir()] == ["lock"] and host.free()


def test_results_that_have_arrived_are_dropped_and_no_others(host):
    (host.folder / "results").mkdir()
    record = {"bundle_sha256": "x", "threads": 1, "device": {"name": "board"}, "date": "made up"}
    failure = {"subject": {"bundle_sha256": "y", "threads": 1, "device": "board"}, "date": "made up"}
    lines = [json.dumps(each) + "\n" for each in (record, failure, {"schema": 99}, [])] + ["{cut off"]
    (host.folder / "results" / "1.jsonl").write_text("".join(lines))
    (host.folder / "results" / "2.jsonl").write_text(lines[1])
    arrived = [["board", "y", 1, "made up"], ["board", "x", None, "made up"]]
    assert host.ask(errand="forget", arrived=arrived) == {"answer": {}}
    (left,) = (host.folder / "results").iterdir()
    assert left.name == "1.jsonl" and left.read_text() == "".join([lines[0], *lines[2:]])


@pytest.mark.parametrize("at_once", [True, False])
def test_a_word_stops_the_profiler(host, at_once):
    """However early: it may come together with the errand."""
    python = host.python("sleep 60 & sleep 60")
    with host.start(b"stop\n" * at_once, errand="measure", python=python, arguments=[]) as process:
        if not at_once:
            until(lambda: b"measuring" in process.stdout.readline(), "the profiler to start")
            assert not host.free()
            process.stdin.write(b"stop\n")
            process.stdin.flush()
        assert process.wait(20) == 0
    until(host.free, "the profiler to end")


def test_the_profiler_outlives_the_connection_and_others_wait_for_it(host):
    python = host.python('while [ "$1" != -o ]; do shift; done; sleep 2; echo made up > "$2"')
    with host.start(errand="measure", python=python, arguments=[]) as process:
        until(lambda: b"measuring" in process.stdout.readline(), "the profiler to start")
        process.stdin.close()
        assert process.wait(20) == 0
    assert not host.free()
    with host.start(errand="look", parcels={}) as process:
        first, *_, last = process.stdout.read().splitlines()
    assert b'"state": "waiting"' in first and int((host.folder / "lock").read_text()) and host.free()
    assert json.loads(last.decode().removeprefix(agent.MARK))["answer"]["results"] == "made up\n"


def test_a_python_that_is_too_old_says_so(monkeypatch):
    """The check stands before anything that an old Python could not read."""
    bootstrap = remote._START.format(1).replace("(3, 10)", "(99, 0)")
    done = subprocess.run([sys.executable, "-c", bootstrap], input=b"!", capture_output=True)
    assert done.returncode == 1 and done.stderr.decode().startswith("its Python is 3.") and b"Trace" not in done.stderr
