"""Cameras. No test machine has one: what stands in for the libraries here shows how they are used, not that a
camera works."""

from __future__ import annotations

import sys
import threading
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from runtime import Encoder
from runtime.preprocess import to_pixels
from runtime.stream.sources.camera import Camera
from tests.stream.conftest import payloads


class Capture:
    """Gives so many pictures, blue first, and then none."""

    def __init__(self, device, backend):
        self.asked, self.settings, self.released_by = (device, backend), {}, None
        self.left = list(Capture.pictures)
        Capture.last = self

    def isOpened(self):  # noqa: N802
        return self.asked[0] < 5

    def set(self, name, value):
        self.settings[name] = value

    def read(self):
        return (True, self.left.pop(0)[:, :, ::-1]) if self.left else (False, None)

    def release(self):
        self.released_by = threading.current_thread().name


@pytest.fixture
def cv2(monkeypatch, photographs):
    module = ModuleType("cv2")
    module.utils = SimpleNamespace(logging=SimpleNamespace(setLogLevel=lambda level: None, LOG_LEVEL_SILENT=0))
    module.VideoCapture, module.CAP_V4L2, module.CAP_ANY, module.CAP_PROP_BUFFERSIZE = Capture, 200, 0, 38
    module.COLOR_BGR2RGB = 4
    module.cvtColor = lambda pixels, how: np.ascontiguousarray(pixels[:, :, ::-1])
    Capture.pictures = [to_pixels(photograph, 288) for photograph in photographs]
    monkeypatch.setitem(sys.modules, "cv2", module)
    return module


@pytest.mark.parametrize(("word", "device"), [("camera", 0), ("camera:2", 2), ("/dev/video3", 3)])
def test_camera(call, cv2, tmp_path, word, device, monkeypatch, bundle, decoder):
    """The newest frame, red first; a camera that vanishes is an error after a bounded wait."""
    monkeypatch.setattr(Camera, "patience", 0.3)
    monkeypatch.setattr(Capture, "pictures", Capture.pictures[:1])
    outcome = call("--source", word, "-o", tmp_path / "out")
    assert outcome.code == 1 and outcome.err == (
        f"python -m runtime: {word} gave no frame for 0.3 s: it gives no picture; is it still plugged in?\n"
    )
    assert Capture.last.asked == (device, 200 if sys.platform == "linux" else 0) and Capture.last.settings == {38: 1}
    assert Capture.last.released_by == "splitport-source"
    ((number, payload),) = payloads(tmp_path / "out").items()
    symbols = Encoder.open(bundle, threads=1).symbols(Capture.pictures[0])
    assert number == 1 and np.array_equal(decoder.symbols(payload), symbols)


def test_camera_that_hangs(call, cv2, tmp_path, monkeypatch):
    """A driver that never returns from ``read`` holds neither the loop nor the process."""
    monkeypatch.setattr(Camera, "patience", 0.2)
    monkeypatch.setattr("runtime.stream.feed._FAREWELL", 0.1)
    wake = threading.Event()
    monkeypatch.setattr(Capture, "read", lambda self: (wake.wait(), None))
    outcome = call("--source", "camera", "-o", tmp_path / "out")
    wake.set()
    assert outcome.code == 1 and outcome.err.endswith("camera gave no frame for 0.2 s\n")
    assert outcome.out.startswith("0 read, 0 encoded")


def test_camera_whose_driver_raises(call, cv2, tmp_path, monkeypatch):
    """Whatever it raises in its thread is one line."""

    def broken(self):
        raise RuntimeError("VIDIOC_DQBUF failed")

    monkeypatch.setattr(Capture, "read", broken)
    outcome = call("--source", "camera:1", "-o", tmp_path / "out")
    assert outcome.code == 1 and outcome.err == "python -m runtime: camera:1: VIDIOC_DQBUF failed\n"


def test_no_camera_and_no_library(call, cv2, tmp_path, monkeypatch):
    outcome = call("--source", "camera:7", "-o", tmp_path / "out")
    assert outcome.code == 1 and outcome.err.startswith("python -m runtime: cannot open camera:7: ")
    for word, line in (("camera", "pip install opencv-python-headless"), ("picamera", "apt install python3-picamera2")):
        monkeypatch.setitem(sys.modules, {"camera": "cv2", "picamera": "picamera2"}[word], None)
        outcome = call("--source", word, "-o", tmp_path / "out")
        assert outcome.code == 2 and line in outcome.err and outcome.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


class Picamera2:
    """As much of picamera2 as is used; one camera is attached."""

    def __init__(self, number):
        if number:
            raise IndexError("list index out of range")
        self.calls = []
        Picamera2.last = self

    def create_video_configuration(self, main):
        return main

    def configure(self, main):
        self.calls.append(main)

    def __getattr__(self, name):
        return lambda: self.calls.append(name)

    def capture_array(self, name):
        assert name == "main"
        return Picamera2.picture


def test_picamera(call, tmp_path, monkeypatch, photographs, bundle, decoder):
    """Its BGR888 has red first, so nothing is turned round."""
    monkeypatch.setitem(sys.modules, "picamera2", SimpleNamespace(Picamera2=Picamera2))
    monkeypatch.setattr(Picamera2, "picture", to_pixels(photographs[0], 288), raising=False)
    outcome = call("--source", "picamera", "-o", tmp_path / "out", "--frames", 2)
    assert (outcome.code, outcome.err) == (0, "")
    assert Picamera2.last.calls == [{"format": "BGR888"}, "start", "stop", "close"]
    symbols = Encoder.open(bundle, threads=1).symbols(Picamera2.picture)
    assert all(np.array_equal(decoder.symbols(payload), symbols) for payload in payloads(tmp_path / "out").values())
    outcome = call("--source", "picamera:1", "-o", tmp_path / "out")
    assert outcome.code == 1 and "cannot open picamera:1: list index out of range; rpicam-hello" in outcome.err
