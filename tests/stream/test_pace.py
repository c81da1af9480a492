"""The rate's cap, counted against a clock that the test turns."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest

from runtime.stream.feed import Patient
from runtime.stream.figures import Figures
from runtime.stream.frames import Shot, Source
from runtime.stream.loop import Loop
from runtime.stream.pace import Pace
from runtime.stream.service import Service
from runtime.stream.voice import Voice


class Clock:
    """Goes on only when somebody waits or works; also what the loop waits with."""

    def __init__(self) -> None:
        self.now, self.asked = 5_000.0, False

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


class Endless(Source):
    def shots(self):
        while True:
            yield Shot("drawn", lambda size: None)


def taken_at(rate, work, frames) -> list[float]:
    """When the loop began each frame, where the n-th takes ``work(n)`` seconds."""
    clock, begun = Clock(), []

    def encode(_):
        begun.append(clock.now - 5_000.0)
        clock.now += work(len(begun))
        return bytes(100)

    feed = Patient(Endless("drawn"), 1, clock)
    encoder = SimpleNamespace(encode=encode, bundle=SimpleNamespace(manifest=SimpleNamespace(size=224)))
    sink = SimpleNamespace(put=lambda number, payload: True, close=lambda: None)
    parts = (clock, Pace(rate), Figures(feed, clock()), Voice(), Service(), clock, frames)
    Loop(encoder, feed, sink, *parts).run()
    return begun


def test_steady_without_drift():
    """Work and lateness of a frame shift no later one."""
    rng = random.Random(3)
    begun = taken_at(10, lambda n: rng.uniform(0, 0.099), 3_001)
    assert begun[-1] == pytest.approx(300.0, abs=1e-6)
    assert begun == pytest.approx([n / 10 for n in range(3_001)], abs=1e-6)


def test_missed_moments_are_not_made_up_for():
    """The tenth frame takes 5 s; then it goes on in the old step, without a burst."""
    begun = taken_at(10, lambda n: 5.03 if n == 10 else 0.01, 40)
    assert begun[9] == pytest.approx(0.9) and begun[10:] == pytest.approx([5.93 + n / 10 for n in range(30)])


def test_an_encoder_slower_than_the_rate():
    """The cap takes nothing from it."""
    assert taken_at(10, lambda n: 0.25, 20) == pytest.approx([0.25 * n for n in range(20)])


@pytest.mark.parametrize("rate", [0.1, 1 / 3, 7, 29.97, 1000])
def test_never_more_than_the_cap(rate):
    rng = random.Random(4)
    begun = taken_at(rate, lambda n: rng.choice([0.0, 0.4, 3.0]) / rate, 500)
    for first in range(0, 500, 25):
        inside = sum(begun[first] <= at < begun[first] + 20 / rate - 1e-9 for at in begun)
        assert inside <= 21
    assert all(b > a for a, b in zip(begun, begun[1:], strict=False))


def test_no_cap_no_wait():
    assert taken_at(None, lambda n: 0.0, 50) == [0.0] * 50
