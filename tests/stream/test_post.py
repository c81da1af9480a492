"""Payloads by POST to a real receiver on loopback, which is not always in the best of moods."""

from __future__ import annotations

import socket
from pathlib import Path

import numpy as np
import pytest

from tests.stream.servers import Receiver


@pytest.fixture
def folder(tmp_path, jpegs) -> Path:
    for index, jpeg in enumerate(jpegs):
        (tmp_path / f"{index}.jpg").write_bytes(jpeg)
    return tmp_path


@pytest.fixture
def check(jpegs, decoder, expected):
    """Every frame arrived once, in order, as the very payload of that frame."""

    def all_arrived(receiver):
        assert [number for number, _ in receiver.taken] == list(range(1, len(jpegs) + 1))
        for (_, body), symbols in zip(receiver.taken, expected, strict=True):
            assert np.array_equal(decoder.symbols(body), symbols)

    return all_arrived


def test_one_connection_carries_all(call, serve, folder, check, jpegs):
    receiver = serve(Receiver)
    outcome = call("--source", folder, "--to", receiver.url)
    assert (outcome.code, outcome.err) == (0, "")
    check(receiver)
    assert len(receiver.ports) == 1 and receiver.types == {"application/octet-stream"}
    assert outcome.out.splitlines()[0].endswith(f"{len(jpegs)} payloads to {receiver.url}")


def test_long_answers_and_connections_that_close(call, serve, folder, check):
    """A receiver that says much, and one that hangs up after each answer without having said so."""
    receiver = serve(Receiver)
    receiver.said = bytes(200_000)
    assert call("--source", folder, "--to", receiver.url).code == 0
    check(receiver)
    receiver = serve(Receiver)
    receiver.hang_up = True
    outcome = call("--source", folder, "--to", receiver.url)
    assert (outcome.code, outcome.err) == (0, "")
    check(receiver)


def test_503_and_then_200(call, serve, folder, check, jpegs):
    """The same frame is sent again; nothing is lost, nothing is told."""
    receiver = serve(Receiver, lambda call, frame: 503 if call % 3 else 200)
    outcome = call("--source", folder, "--to", receiver.url, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    check(receiver)
    assert receiver.asked == [frame for frame in range(1, len(jpegs) + 1) for _ in range(3)]
    assert outcome.told["failed"] == 0 and outcome.told["delivered"] == len(jpegs)


def test_503_for_too_long(call, serve, folder, jpegs):
    """That frame is lost, which is counted and told; its successors arrive."""
    receiver = serve(Receiver, lambda call, frame: 503 if frame in (3, 4) else 200)
    outcome = call("--source", folder, "--to", receiver.url, "--json")
    assert outcome.code == 1 and [number for number, _ in receiver.taken] == [1, 2, 5, 6, 7]
    assert (outcome.told["encoded"], outcome.told["failed"], outcome.told["delivered"]) == (7, 2, 5)
    assert outcome.err.splitlines() == [
        f"stream: {receiver.url} does not take frame 3: 503 Service Unavailable; going on without it",
        f"stream: {receiver.url} takes payloads again, from frame 5",
        "python -m runtime: 2 of 7 payloads could not be delivered",
    ]


@pytest.mark.parametrize(("status", "words"), [(404, "Not Found"), (413, ""), (301, "Moved Permanently")])
def test_a_refusal_is_told_once_and_not_repeated(call, serve, folder, jpegs, status, words):
    receiver = serve(Receiver, lambda call, frame: 200 if frame == 4 else status)
    outcome = call("--source", folder, "--to", receiver.url)
    assert outcome.code == 1 and receiver.asked == list(range(1, len(jpegs) + 1))
    first, last = outcome.err.splitlines()
    assert first.startswith(f"stream: {receiver.url} refuses frame 1: {status} {words}") and "6 of 7 payloads" in last


def test_connection_refused(call, folder, jpegs):
    """Nobody there: every frame is tried, none arrives, told once."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
    outcome = call("--source", folder, "--to", url, "--json")
    assert outcome.code == 1 and outcome.told["failed"] == len(jpegs) and outcome.told["delivered"] == 0
    first, last = outcome.err.splitlines()
    assert first == f"stream: {url} does not take frame 1: Connection refused; going on without it"
    assert "7 of 7 payloads could not be delivered" in last


def test_a_slow_receiver_is_asked_again(call, serve, folder, check, monkeypatch):
    """The first answer never comes in time; the frame is sent again on a new connection."""
    monkeypatch.setattr("runtime.stream.post._TIMEOUT", 0.3)
    receiver = serve(Receiver)

    def answer(call, frame):
        return receiver.closing.wait() and 500 if call == 1 else 200

    receiver.answer = answer
    outcome = call("--source", folder, "--to", receiver.url)
    assert (outcome.code, outcome.err) == (0, "")
    check(receiver)
    assert receiver.asked[:2] == [1, 1] and len(receiver.ports) == 2


def test_what_is_no_address(call, folder):
    for url in ("receiver", "ftp://receiver/", "http://", "http://receiver:99999/"):
        outcome = call("--source", folder, "--to", url)
        assert outcome.code == 2 and f"{url} is not an address such as http://" in outcome.err
