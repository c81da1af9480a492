"""Folders and video files: every frame, in order, none dropped, none doubled."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runtime import Encoder
from runtime.stream.sources import SOURCES
from tests.conftest import ROOT
from tests.stream.conftest import payloads


@pytest.fixture
def folder(tmp_path, jpegs) -> Path:
    """Names out of order, and one level down."""
    place = tmp_path / "pictures"
    (place / "more").mkdir(parents=True)
    for name, jpeg in zip(("b.jpg", "a.jpg", "c.jpeg", "more/d.jpg"), jpegs, strict=False):
        (place / name).write_bytes(jpeg)
    return place


ORDER = (1, 0, 2, 3)


def test_folder(call, folder, tmp_path, decoder, expected):
    """In the order of names; the payloads decode to the very symbols."""
    outcome = call("--source", folder, "-o", tmp_path / "out")
    assert (outcome.code, outcome.err) == (0, "")
    made = payloads(tmp_path / "out")
    assert list(made) == [1, 2, 3, 4]
    for payload, view in zip(made.values(), ORDER, strict=True):
        assert np.array_equal(decoder.symbols(payload), expected[view])
    first, second = outcome.out.splitlines()
    assert first == f"4 read, 4 encoded, 0 dropped, 0 damaged, 0 failed; 4 payloads to {tmp_path / 'out'}"
    assert "payload bytes on average" in second


def test_json_tells_the_same(call, folder, tmp_path):
    outcome = call("--source", folder, "-o", tmp_path / "out", "--json")
    told, made = outcome.told, payloads(tmp_path / "out")
    assert told["ok"] and len(outcome.out.splitlines()) == 1
    assert (told["read"], told["encoded"], told["dropped"], told["damaged"], told["failed"]) == (4, 4, 0, 0, 0)
    mean = sum(map(len, made.values())) / 4
    assert told["wire_bytes_mean"] == pytest.approx(mean, abs=0.1)
    assert told["payload_bytes_mean"] == pytest.approx(mean - 12, abs=0.1)
    assert 0 < told["latency_ms"]["mean"] <= told["latency_ms"]["longest"] and told["rss_mb"] > 10


def test_numbers_go_on_behind_what_is_there(call, folder, tmp_path):
    """Nothing is overwritten; other names do not count."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "00000041.spl").write_bytes(b"kept")
    assert call("--source", folder, "-o", out).code == 0
    assert call("--source", folder, "-o", out, "--frames", 2).code == 0
    made = payloads(out)
    assert list(made) == list(range(41, 48)) and made[41] == b"kept" and made[42] == made[46]
    (out / "100000000.spl").touch()
    (out / "9.spl").touch()
    (out / ".00000999.spl-x").touch()
    assert call("--source", folder, "-o", out, "--frames", 1).code == 0
    assert (out / "100000001.spl").stat().st_size == len(made[42])


def test_two_streams_into_one_folder_are_found_out(call, folder, tmp_path, monkeypatch):
    """The second one ends instead of overwriting."""
    encode = Encoder.encode

    def rival(self, picture):
        payload = encode(self, picture)
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out" / "00000001.spl").write_bytes(b"the other's")
        return payload

    monkeypatch.setattr(Encoder, "encode", rival)
    outcome = call("--source", folder, "-o", tmp_path / "out")
    assert outcome.code == 1 and "00000001.spl is there already: does another stream write" in outcome.err
    assert payloads(tmp_path / "out") == {1: b"the other's"}


def test_damaged_pictures_are_named_and_counted(call, folder, tmp_path, jpegs):
    """Each of them, and the others come through with numbers that show the gaps."""
    (folder / "aa.jpg").write_bytes(jpegs[0][: len(jpegs[0]) // 2])
    (folder / "ab.jpg").write_bytes(b"")
    (folder / "more" / "e.png").write_text("no picture")
    outcome = call("--source", folder, "-o", tmp_path / "out")
    assert outcome.code == 1 and list(payloads(tmp_path / "out")) == [1, 4, 5, 6]
    lines = outcome.err.splitlines()
    assert [line.split(": ")[:2] for line in lines[:3]] == [["stream", f"frame {n}"] for n in (2, 3, 7)]
    assert all(name in line for name, line in zip(("aa.jpg", "ab.jpg", "e.png"), lines, strict=False))
    assert lines[3:] == ["python -m runtime: 3 of 7 frames could not be read"]
    assert "7 read, 4 encoded, 0 dropped, 3 damaged, 0 failed" in outcome.out


def test_a_picture_that_goes_away_is_a_damaged_one(call, folder, tmp_path, monkeypatch):
    encode = Encoder.encode

    def remove(self, picture):
        (folder / "b.jpg").unlink(missing_ok=True)
        return encode(self, picture)

    monkeypatch.setattr(Encoder, "encode", remove)
    outcome = call("--source", folder, "-o", tmp_path / "out")
    assert "frame 2" in outcome.err and "b.jpg: it does not exist" in outcome.err
    assert list(payloads(tmp_path / "out")) == [1, 3, 4]


def test_stats(call, folder, tmp_path, monkeypatch):
    """A line whenever a second has passed; here after every turn."""
    monkeypatch.setattr("runtime.stream.loop._TELL_EVERY", 0.0)
    outcome = call("--source", folder, "-o", tmp_path / "out", "--stats", "--json")
    lines = [json.loads(line) for line in outcome.out.splitlines()]
    assert [line["encoded"] for line in lines] == [1, 2, 3, 4, 4, 4]
    sizes = [len(payload) for payload in payloads(tmp_path / "out").values()]
    for line, size in zip(lines, sizes, strict=False):
        assert line["wire_bytes_mean"] == size and line["fps"] > 0 and line["rss_mb"] > 10
        assert line["latency_ms"]["p50"] == line["latency_ms"]["p90"] > 0
    assert lines[4]["latency_ms"] == {"p50": None, "p90": None} and lines[4]["fps"] == 0
    outcome = call("--source", folder, "-o", tmp_path / "again", "--stats")
    assert "; 1 read, 1 encoded, 0 dropped, 0 damaged, 0 failed; " in outcome.out.splitlines()[0]
    assert "latency p50" in outcome.out.splitlines()[0] and "RSS" in outcome.out.splitlines()[0]


def test_a_full_disk_ends_it_with_a_summary(call, folder, tmp_path, monkeypatch):
    def full(path, content):
        from runtime.errors import SplitportError

        raise SplitportError(f"cannot write {path}: No space left on device; choose another place with -o")

    monkeypatch.setattr("runtime.stream.sinks.write_atomically", full)
    outcome = call("--source", folder, "-o", tmp_path / "out")
    assert outcome.code == 1 and "No space left on device" in outcome.err and outcome.out.startswith("1 read, 0 enc")


VIEWS = 5


def record(path: Path, library: str, jpegs: list[bytes], tmp_path: Path) -> None:
    """A short recording of the views."""
    frames = []
    for jpeg in jpegs[:VIEWS]:
        (tmp_path / "view.jpg").write_bytes(jpeg)
        with Image.open(tmp_path / "view.jpg") as image:
            frames.append(np.asarray(image.convert("RGB").crop((0, 0, 320, 240))))
    if library == "cv2":
        cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (320, 240))
        for frame in frames:
            writer.write(frame[:, :, ::-1])
        writer.release()
        return
    av = pytest.importorskip("av", reason="PyAV is not installed")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuvj420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode())


@pytest.mark.parametrize("library", ["cv2", "av"])
def test_video(call, tmp_path, jpegs, library, monkeypatch, bundle, decoder):
    """Every frame, colours the right way round, upright; the other library is not there."""
    path = tmp_path / "drive.avi"
    record(path, library, jpegs, tmp_path)
    monkeypatch.setitem(sys.modules, {"cv2": "av", "av": "cv2"}[library], None)
    source = SOURCES["video"].open(str(path))
    shots = [shot.load(224) for shot in source.shots()]
    assert len(shots) == VIEWS and all(shot.shape == (240, 320, 3) and shot.dtype == np.uint8 for shot in shots)
    for shot, jpeg in zip(shots, jpegs, strict=False):
        (tmp_path / "view.jpg").write_bytes(jpeg)
        with Image.open(tmp_path / "view.jpg") as image:
            original = np.asarray(image.crop((0, 0, 320, 240))).astype(int)
        assert np.abs(shot - original).mean() < 8 < np.abs(shot[:, :, ::-1] - original).mean()
    outcome = call("--source", path, "-o", tmp_path / "out")
    assert (outcome.code, outcome.err) == (0, "")
    encoder = Encoder.open(bundle, threads=1)
    made = payloads(tmp_path / "out")
    assert list(made) == list(range(1, VIEWS + 1))
    for payload, shot in zip(made.values(), shots, strict=True):
        assert np.array_equal(decoder.symbols(payload), encoder.symbols(shot))


@pytest.mark.parametrize("library", ["cv2", "av"])
def test_video_that_is_none(bundle, tmp_path, library):
    """One line, although FFmpeg inside would say more: it listens only when a process begins with it."""
    pytest.importorskip(library, reason=f"{library} is not installed")
    (tmp_path / "drive.mp4").write_text("no video")
    program = (
        f"import sys; sys.modules[{'av' if library == 'cv2' else 'cv2'!r}] = None\n"
        "from runtime.commands import main; sys.exit(main(sys.argv[1:]))"
    )
    arguments = ["stream", bundle, "--source", tmp_path / "drive.mp4", "-o", tmp_path / "out"]
    done = subprocess.run([sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "drive.mp4 is not a video that" in done.stderr
    assert not (tmp_path / "out").exists()


def test_video_without_a_library(call, tmp_path, monkeypatch):
    for name in ("cv2", "av"):
        monkeypatch.setitem(sys.modules, name, None)
    shutil.copy(__file__, tmp_path / "drive.mp4")
    outcome = call("--source", tmp_path / "drive.mp4", "-o", tmp_path / "out")
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert "pip install opencv-python-headless, or pip install av" in outcome.err
