"""What the command refuses, how it ends, and what systemd hears of it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from runtime.stream.service import Service
from tests.conftest import ROOT
from tests.stream.conftest import payloads
from tests.stream.servers import MjpegServer, Receiver, wait_until
from tests.stream.test_mjpeg import check, endless


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--source {pictures}", "one of the arguments -o/--output --to is required"),
        ("--source {pictures} -o {out} --to http://x/", "not allowed with argument"),
        ("-o {out}", "required: --source"),
        ("--source {pictures} -o {out} --rate 0", "--rate must be a number above 0, not 0"),
        ("--source {pictures} -o {out} --rate -1", "--rate must be a number above 0, not -1"),
        ("--source {pictures} -o {out} --rate nan", "--rate must be a number above 0, not nan"),
        ("--source {pictures} -o {out} --rate inf", "--rate must be a number above 0, not inf"),
        ("--source {pictures} -o {out} --frames 0", "--frames must be at least 1, not 0"),
        ("--source absent -o {out}", "absent is no source. Sources are: camera, camera:0 or /dev/video0; picamera"),
        ("--source camera:front -o {out}", "camera:front is no source"),
        ("--source rtsp://camera/ -o {out}", "rtsp://camera/ is no source"),
        ("--source {empty} -o {out}", "holds no pictures"),
        ("--source {pictures} -o {out} --engine onnxruntim", "did you mean 'onnxruntime'?"),
    ],
)
def test_bad_usage(call, tmp_path, jpegs, arguments, said):
    """One line, exit code 2, nothing left behind."""
    places = {"pictures": tmp_path / "pictures", "empty": tmp_path / "empty", "out": tmp_path / "out"}
    places["pictures"].mkdir()
    places["empty"].mkdir()
    (places["pictures"] / "a.jpg").write_bytes(jpegs[0])
    outcome = call(*arguments.format(**places).split())
    assert outcome.code == 2 and said in outcome.err and outcome.err.count("\n") == 1 and not outcome.out
    assert not places["out"].exists()


def test_output_that_is_a_file(call, tmp_path, jpegs):
    (tmp_path / "a.jpg").write_bytes(jpegs[0])
    outcome = call("--source", tmp_path, "-o", tmp_path / "a.jpg")
    assert outcome.code == 1 and "Not a directory; choose another place with -o" in outcome.err


@pytest.fixture
def process(bundle):
    """The command in a process of its own, ended with the test."""
    started = []

    def start(*arguments: object, **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "runtime", "stream", bundle, "--threads", "1", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(list(map(str, command)), cwd=ROOT, env=os.environ | environment, **pipes))
        return started[-1]

    yield start
    for each in started:
        if each.poll() is None:
            each.kill()
        each.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(process, serve, jpegs, tmp_path, decoder, expected, number):
    """In the middle of a stream: all files whole, the summary printed, exit code 0."""
    server = serve(MjpegServer, [endless(jpegs)])
    running = process("--source", server.url, "-o", tmp_path / "out", "--stats")
    wait_until(lambda: len(list((tmp_path / "out").glob("*.spl"))) >= 20, "twenty payloads are there")
    running.send_signal(number)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (0, "")
    made = payloads(tmp_path / "out")
    check(made, decoder, expected)
    counts, average = out.splitlines()[-2:]
    read, encoded, dropped = (int(word.split()[0]) for word in counts.split(", ")[:3])
    assert encoded == len(made) and read == encoded + dropped and max(made) <= read and "on average" in average


class Held(Receiver):
    """Answers when the test says so."""

    def __init__(self) -> None:
        self.open = threading.Event()
        super().__init__(lambda call, frame: self.open.wait() and 200)

    def close(self) -> None:
        self.open.set()
        super().close()


def catches(pid: int, number: int) -> bool:
    """Does the process still handle this signal itself?"""
    lines = dict(line.split(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    return bool(int(lines["SigCgt"], 16) >> (number - 1) & 1)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_the_frame_in_work_is_finished(process, serve, jpegs, tmp_path, decoder, expected):
    """SIGTERM while a payload is on its way: it arrives, and no other is begun."""
    (tmp_path / "a.jpg").write_bytes(jpegs[0])
    (tmp_path / "b.jpg").write_bytes(jpegs[1])
    receiver = serve(Held)
    running = process("--source", tmp_path, "--to", receiver.url)
    wait_until(lambda: receiver.asked, "the first payload is on its way")
    running.send_signal(signal.SIGTERM)
    wait_until(lambda: not catches(running.pid, signal.SIGTERM), "the signal is handled")
    receiver.open.set()
    out, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (0, "") and out.startswith("1 read, 1 encoded, 0 dropped, 0 damaged, 0 failed")
    assert receiver.asked == [1] and np.array_equal(decoder.symbols(receiver.taken[0][1]), expected[0])


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_second_signal_ends_it_at_once(process, serve, jpegs, tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpegs[0])
    receiver = serve(Held)
    running = process("--source", tmp_path, "--to", receiver.url)
    wait_until(lambda: receiver.asked, "the first payload is on its way")
    running.send_signal(signal.SIGTERM)
    wait_until(lambda: not catches(running.pid, signal.SIGTERM), "the signal is handled")
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    assert running.returncode == -signal.SIGINT


def test_signals_are_given_back(call, tmp_path, jpegs):
    """Who calls the command from Python keeps handlers of their own."""
    (tmp_path / "a.jpg").write_bytes(jpegs[0])
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    assert call("--source", tmp_path, "-o", tmp_path / "out").code == 0
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_a_reader_of_the_figures_may_leave(process, serve, jpegs, tmp_path, monkeypatch):
    """``| head -1``: the payloads go on."""
    server = serve(MjpegServer, [endless(jpegs)])
    running = process("--source", server.url, "-o", tmp_path / "out", "--stats", "--rate", "20")
    assert running.stdout.readline().startswith("1 s; ")
    running.stdout.close()
    running.stdout = None
    there = len(list((tmp_path / "out").iterdir()))
    wait_until(lambda: len(list((tmp_path / "out").iterdir())) > there + 30, "payloads of more than a second are there")
    running.send_signal(signal.SIGTERM)
    _, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (0, "")


def heard(line: socket.socket) -> list[str]:
    said = []
    while True:
        try:
            said.append(line.recv(4096).decode())
        except BlockingIOError:
            return said


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")
@pytest.mark.parametrize("abstract", [False, True])
def test_what_systemd_hears(call, tmp_path, jpegs, monkeypatch, abstract):
    """Ready with the first payload, alive, stopping."""
    if abstract and sys.platform != "linux":
        pytest.skip("abstract names are Linux's")
    for index, jpeg in enumerate(jpegs):
        (tmp_path / f"{index}.jpg").write_bytes(jpeg)
    name = f"@splitport-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(name.replace("@", "\0") if abstract else name)
        line.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        assert call("--source", tmp_path, "-o", tmp_path / "out").code == 0
        said = heard(line)
        assert said[:2] == ["READY=1", "WATCHDOG=1"] and said[-1] == "STOPPING=1" and said.count("READY=1") == 1
        service = Service()
        for now in (0.0, 0.5, 0.99, 1.0, 1.5, 2.5):
            service.alive(now)
        assert heard(line) == ["WATCHDOG=1"] * 3
    assert call("--source", tmp_path, "-o", tmp_path / "out").code == 0  # nobody listens any more


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")
def test_not_ready_before_a_payload_is_made(call, tmp_path, monkeypatch):
    (tmp_path / "a.jpg").write_text("no picture")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(str(tmp_path / "notify"))
        line.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        assert call("--source", tmp_path, "-o", tmp_path / "out").code == 1
        assert "READY=1" not in heard(line)
