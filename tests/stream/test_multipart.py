"""The parser of multipart streams, in pieces of any size, and what it makes of nonsense."""

from __future__ import annotations

import random

import pytest

from runtime.stream.sources.multipart import Parts
from tests.stream.servers import part


def parse(stream: bytes, step: int, boundary: str = "frame", **more: int) -> list[bytes]:
    parts = Parts(boundary, **more)
    found = []
    for begin in range(0, len(stream), step):
        found += parts.feed(stream[begin : begin + step])
    return found


@pytest.mark.parametrize("step", [1, 2, 7, 1000, 1 << 20])
def test_parts_with_and_without_length(jpegs, step):
    """What arrives in which pieces makes no difference; without a length, the last part waits for the next mark."""
    some = jpegs[:2] if step < 7 else jpegs
    stated = b"".join(part(jpeg) for jpeg in some)
    assert parse(stated, step) == some
    open_ended = b"".join(part(jpeg, None) for jpeg in some) + b"--frame--\r\n"
    assert [found.removesuffix(b"\r\n") for found in parse(open_ended, step)] == some


@pytest.mark.parametrize("named", ["frame", "--frame", "----frame"])
@pytest.mark.parametrize("written", [b"--frame", b"----frame"])
def test_boundaries_with_dashes_of_their_own(jpegs, named, written):
    stream = b"".join(part(jpeg, boundary=written) for jpeg in jpegs)
    assert parse(stream, 4096, named) == jpegs


def test_a_complete_part_does_not_wait_for_the_next(jpegs):
    assert list(Parts("frame").feed(part(jpegs[0])[:-2])) == [jpegs[0]]


def test_lines_may_end_in_line_feeds_alone(jpegs):
    stream = b"".join(b"--frame\ncontent-length:%d\n\n%b\n" % (len(jpeg), jpeg) for jpeg in jpegs)
    assert parse(stream, 999) == jpegs


def test_a_lie_about_the_length_costs_one_part(jpegs):
    """Too short: the rest is skipped. Too long: it ends where the next boundary is."""
    first, second, third = jpegs[:3]
    for lie in (len(first) // 2, len(first) + 300):
        found = parse(part(first, lie) + part(second) + part(third), 512)
        assert found[1:] == [second, third] and len(found) == 3
        assert found[0].startswith(first[: min(lie, len(first))])


def test_memory_is_bounded():
    """Nothing that a server may send is kept beyond the limit."""
    for stream, said in (
        (b"--frame\r\nContent-Length: 5000\r\n\r\n", "announced"),
        (b"--frame\r\n\r\n" + bytes(20_000), "longer than 1,000 bytes"),
        (b"--frame\r\n" + b"X: y\r\n" * 10_000, "lines above a part"),
    ):
        with pytest.raises(ValueError, match=said):
            parse(stream, 100, limit=1000)
    parts = Parts("frame", 1000)
    for _ in range(1000):
        assert list(parts.feed(bytes(997))) == []
        assert len(parts._buffer) < 20


def test_noise_gives_parts_or_a_value_error(jpegs):
    rng = random.Random(1)
    whole = b"".join(part(jpeg, rng.choice([-1, None])) for jpeg in jpegs)
    for _ in range(150):
        damaged = bytearray(whole[: rng.randrange(len(whole))])
        for _ in range(rng.randrange(40)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        parts = Parts("frame", 50_000)
        try:
            for begin in range(0, len(damaged), 8192):
                assert all(len(found) <= 60_000 for found in parts.feed(damaged[begin : begin + 8192]))
                assert len(parts._buffer) < 70_000
        except ValueError:
            pass
