"""MJPEG from a real server on loopback, with photographs."""

from __future__ import annotations

import itertools
import socket

import numpy as np
import pytest

from runtime import Encoder
from runtime.stream.sources.mjpeg import Mjpeg
from tests.stream.conftest import payloads
from tests.stream.servers import MjpegServer, Server, part, wait_until


def taken(feeds, index: int):
    """Has the loop taken all of so many frames, and nothing is left waiting?"""
    return index == 0 or (feeds and feeds[0].read == index and feeds[0]._waiting is None)


@pytest.fixture
def in_step(feeds):
    """Lets a server send a frame when the one before it has been taken: nothing is dropped then."""
    return lambda index: wait_until(lambda: taken(feeds, index), f"frame {index} is taken")


def endless(jpegs):
    return map(part, itertools.cycle(jpegs))


def check(made, decoder, expected):
    """Each payload is that of the very frame whose number it carries."""
    for number, payload in made.items():
        assert np.array_equal(decoder.symbols(payload), expected[(number - 1) % len(expected)]), number


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("length", [-1, None])
def test_every_frame_where_the_encoder_keeps_up(
    call, serve, jpegs, tmp_path, in_step, decoder, expected, chunked, length
):
    pieces = [part(jpeg, length) for jpeg in jpegs]
    if length is None:  # such a part is complete when the next one begins
        pieces = [b"--frame", *(piece[len(b"--frame") :] + b"--frame" for piece in pieces)]
        step = lambda index: in_step(max(0, index - 1))  # noqa: E731
    else:
        step = in_step
    server = serve(MjpegServer, [pieces], step, chunked=chunked)
    outcome = call("--source", server.url, "-o", tmp_path / "out", "--frames", len(jpegs), "--json")
    assert (outcome.code, outcome.err) == (0, "")
    made = payloads(tmp_path / "out")
    assert list(made) == list(range(1, len(jpegs) + 1))
    check(made, decoder, expected)
    assert outcome.told["dropped"] == 0


def test_latest_frame_wins_under_a_slow_encoder(call, serve, jpegs, tmp_path, feeds, monkeypatch, decoder, expected):
    """Each encode lasts until three more frames have come: two of three are dropped, and the newest is encoded."""
    encode, free = Encoder.encode, []

    def slow(self, picture):
        (feed,) = feeds
        begin = feed.read
        wait_until(lambda: feed.read >= begin + 3, "three more frames have come")
        payload = encode(self, picture)
        free.append(feed.read)
        return payload

    monkeypatch.setattr(Encoder, "encode", slow)
    server = serve(MjpegServer, [endless(jpegs)])
    outcome = call("--source", server.url, "-o", tmp_path / "out", "--frames", 20, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    made, told = payloads(tmp_path / "out"), outcome.told
    assert len(made) == 20 == told["encoded"] and told["dropped"] >= 38
    assert told["read"] == told["encoded"] + told["dropped"]
    numbers = list(made)
    assert all(b - a >= 3 for a, b in zip(numbers, numbers[1:], strict=False)) and numbers[-1] <= told["read"]
    # What was taken is the newest there was when the encoder became free, or one that came after.
    assert all(number >= newest for number, newest in zip(numbers[1:], free, strict=False))
    check(made, decoder, expected)


def test_truncated_and_corrupt_parts(call, serve, jpegs, tmp_path, in_step, decoder, expected):
    """Counted, named once a series, and nothing else suffers: not even from lengths that lie."""
    half = jpegs[2][: len(jpegs[2]) // 2]
    noise = jpegs[3][:2] + bytes(range(256)) * 8
    parts = [part(jpeg) for jpeg in jpegs[:2]] + [part(half), part(noise), part(jpegs[4])]
    parts += [part(jpegs[5], len(jpegs[5]) // 3), part(jpegs[6]), part(b""), b"no part at all\r\n" + part(jpegs[1])]
    server = serve(MjpegServer, [parts], in_step)
    outcome = call("--source", server.url, "-o", tmp_path / "out", "--frames", 5, "--json")
    made, told = payloads(tmp_path / "out"), outcome.told
    assert outcome.code == 0 and list(made) == [1, 2, 5, 7, 9]
    assert (told["read"], told["encoded"], told["dropped"], told["damaged"]) == (9, 5, 0, 4)
    lines = outcome.err.splitlines()
    assert [line.partition(": http")[0] for line in lines[:3]] == [f"stream: frame {n}" for n in (3, 6, 8)]
    assert (
        lines[3:]
        == ["python -m runtime: 4 of 9 frames could not be read"]
        == [f"python -m runtime: {note}" for note in told["notes"]]
    )
    check({number: made[number] for number in (1, 2, 5, 7)}, decoder, expected)
    assert np.array_equal(decoder.symbols(made[9]), expected[1])


def test_only_damage_is_a_failure(call, serve, jpegs, tmp_path, monkeypatch):
    """A camera that never gave one good frame: exit code 1."""
    monkeypatch.setattr(Mjpeg, "patience", 0.3)
    server = serve(MjpegServer, [[part(b"\xff\xd8"), part(b"\xff\xd8")]])
    outcome = call("--source", server.url, "-o", tmp_path / "out")
    assert outcome.code == 1 and "frames could not be read" in outcome.err and not (tmp_path / "out").exists()


def test_server_that_closes_and_comes_back(
    call, serve, jpegs, tmp_path, feeds, in_step, decoder, expected, monkeypatch
):
    """In the middle of a part, and then for good, until another process takes the port. Numbers go on."""
    first = [part(jpeg) for jpeg in jpegs[:3]] + [part(jpegs[3])[:900]]
    server = serve(MjpegServer, [first, [part(jpegs[3])]], lambda index: None)
    server._before = lambda index: in_step(index if server.calls["GET"] == 1 else 3)
    look, later = "runtime.stream.loop._TELL_EVERY", []
    monkeypatch.setattr(look, 0.0)
    encode = Encoder.encode

    def then(self, picture):
        payload = encode(self, picture)
        if len(later) == 0 and feeds[0].read == 4:
            server.close()
            wait_until(lambda: "refused" in feeds[0].source.trouble.lower(), "the port is closed")
            second = [part(jpeg) for jpeg in jpegs[4:]]
            before = lambda index: in_step(4 + index)  # noqa: E731
            later.append(MjpegServer([second], before, port=server.port))
        return payload

    monkeypatch.setattr(Encoder, "encode", then)
    monkeypatch.setattr(server, "close", lambda close=server.close: None if server.closing.is_set() else close())
    try:
        outcome = call("--source", server.url, "-o", tmp_path / "out", "--frames", 7, "--json")
    finally:
        for each in later:
            each.close()
    assert outcome.code == 0 and server.calls["GET"] == 2 and later[0].calls["GET"] >= 1
    made = payloads(tmp_path / "out")
    assert list(made) == [1, 2, 3, 4, 5, 6, 7] and outcome.told["read"] == 7
    check(made, decoder, expected)


def test_server_that_stays_away(call, serve, jpegs, tmp_path, monkeypatch, in_step):
    """An error after a bounded wait; what was made before is whole, and summed up."""
    monkeypatch.setattr(Mjpeg, "patience", 0.5)
    server = serve(MjpegServer, [[part(jpegs[0]), part(jpegs[1])]], in_step)
    outcome = call("--source", server.url, "-o", tmp_path / "out")
    assert outcome.code == 1 and list(payloads(tmp_path / "out")) == [1, 2]
    assert outcome.out.startswith("2 read, 2 encoded, 0 dropped, 0 damaged, 0 failed; 2 payloads")
    assert outcome.err.splitlines()[-1] == (
        f"python -m runtime: {server.url} gave no frame for 0.5 s: the server ended the stream"
    )


def test_a_server_that_says_nothing_more(call, serve, jpegs, tmp_path, monkeypatch, in_step):
    """The connection stands, and no byte comes: called again, and given up in the end."""
    monkeypatch.setattr(Mjpeg, "patience", 0.6)
    monkeypatch.setattr("runtime.stream.sources.mjpeg._SILENCE", 0.1)
    server = serve(MjpegServer, [[part(jpegs[0]), b""], [b"--frame\r\n"]])
    server._before = lambda index: server.closing.wait() if index else None
    outcome = call("--source", server.url, "-o", tmp_path / "out")
    assert outcome.code == 1 and "gave no frame for 0.6 s" in outcome.err and server.calls["GET"] >= 2
    assert list(payloads(tmp_path / "out")) == [1]


def test_addresses_that_are_no_stream(call, serve, jpegs, tmp_path):
    """Told at once, in one line, and nothing is left behind."""
    missing = serve(Server)
    page = serve(MjpegServer, [[]], header="text/html")
    nameless = serve(MjpegServer, [[]], header="multipart/x-mixed-replace")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for url, code, said in (
        (missing.url, 1, "the server answers 404"),
        (page.url, 1, "answers with text/html, not with multipart/x-mixed-replace"),
        (nameless.url, 1, "answers with multipart/x-mixed-replace, not with"),
        (f"http://127.0.0.1:{port}/", 1, "refused"),
        ("http://:80/", 2, "is not an address such as http://"),
        ("http://camera:port/", 2, "is not an address such as http://"),
    ):
        outcome = call("--source", url, "-o", tmp_path / "out")
        assert outcome.code == code and said in outcome.err and outcome.err.count("\n") == 1, url
        assert not list(tmp_path.iterdir())
