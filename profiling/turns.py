"""Measure several subjects side by side: each in a process of its own, all by turns.

Engines in one process steal each other's threads, and a machine's speed drifts with its temperature: with turns of a
few encodes each, in an order that moves on, every subject meets the same drift.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

from profiling import energy
from profiling.measure import SETTLING, Meter
from profiling.records import Entry, Failure, Record, Subject
from profiling.subjects import Opening, Sent
from runtime.errors import SplitportError, UsageError

#: Encodes of one subject before the next one's turn.
_TURN = 10


@dataclass(frozen=True)
class Wanted:
    """A subject to measure: what it is, and how to open it in its own process."""

    subject: Subject
    opening: Opening


@dataclass(frozen=True)
class Plan:
    """What all subjects have in common."""

    pictures: Sequence[Path]
    runs: int
    device_name: str

    def __post_init__(self) -> None:
        if self.runs < 1:
            raise UsageError(f"--runs must be at least 1, not {self.runs}")

    @property
    def chosen(self) -> list[Path]:
        """No more pictures than runs, spread over all there are."""
        count = min(self.runs, len(self.pictures))
        return [self.pictures[index * len(self.pictures) // count] for index in range(count)]


T = TypeVar("T")
Tell = Callable[[str, int, int], None]


def measure(wanted: Sequence[Wanted], plan: Plan, tell: Tell = lambda *_: None) -> tuple[list[Entry], bool]:
    """A record or a failure for each subject, and whether all was done: Ctrl-C ends it with what is there.

    ``tell`` hears what is done, and how many encodes of how many.
    """
    workers: list[_Worker] = []
    finished = True
    entries: list[Entry] = []
    try:
        try:
            for each in wanted:
                tell(f"opening {each.subject.model} {each.subject.artifact}", len(workers), len(wanted))
                workers.append(_Worker(each, plan))
                workers[-1].open()
            _take_turns(workers, plan.runs, tell)
        except KeyboardInterrupt:
            finished = False
        entries = [entry for worker in workers if (entry := worker.result(plan)) is not None]
    finally:
        for worker in workers:
            worker.close()
    return entries, finished


def _take_turns(workers: Sequence[_Worker], runs: int, tell: Tell) -> None:
    begin, done = perf_counter(), 0
    while done < runs and any(worker.alive for worker in workers):
        turn = min(_TURN, runs - done)
        first = done // _TURN % len(workers)  # not always the same neighbour
        for worker in (*workers[first:], *workers[:first]):
            worker.turn(turn, begin)
        done += turn
        tell("encoding", done, runs)


class _Worker:
    """The measured process, seen from the one that waits."""

    def __init__(self, wanted: Wanted, plan: Plan) -> None:
        self._subject, self._why, self.alive = wanted.subject, "", True
        self._runs, self._encodes, self._ends = 0, 0, list[float]()
        find = energy.find()
        self._account = find() if find else None
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, wanted.opening, plan), daemon=True)
        self._process.start()
        theirs.close()
        self._asked = 0

    def open(self) -> None:
        """Load, read the pictures, warm up."""
        self._ask("open")

    def turn(self, runs: int, begin: float) -> None:
        """So many encodes, unless it has ended."""
        self._ask("decode", runs)
        if self._account:
            with self._account.during():
                self._ask("turn", runs)
        else:
            self._ask("turn", runs)
        if self.alive:
            self._runs += runs
            self._encodes += runs + SETTLING
            self._ends.append(round(perf_counter() - begin, 3))

    def result(self, plan: Plan) -> Entry | None:
        """What came of it; nothing where it was stopped before it was counted."""
        if self.alive and self._runs:
            record: Record | None = self._ask("record")
            if record is not None:
                turns = [{"seconds": s, **turn} for s, turn in zip(self._ends, record.turns, strict=False)]
                short = [f"it was stopped after {record.runs} of {plan.runs} encodes"] * (record.runs < plan.runs)
                told = self._account.each(self._encodes) if self._account else None
                return replace(record, turns=turns, energy=told, doubts=[*record.doubts, *short])
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        return Failure(self._why, self._subject, now) if self._why else None

    def close(self) -> None:
        """End the process, whatever it does."""
        self._connection.close()  # which it takes as the end
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _ask(self, *question: Any) -> Any:
        if not self.alive:
            return None
        self._asked += 1
        try:
            self._connection.send((self._asked, *question))
            number = 0
            while number != self._asked:  # after Ctrl-C the answer to an earlier question may come first
                number, answer, why = self._connection.recv()
        except (EOFError, OSError):
            self._process.join(5)
            answer, why = None, f"its engine ended the process ({_ending(self._process.exitcode)})"
        if isinstance(why, UsageError):
            raise why
        if why is not None:
            self.alive, self._why = False, str(why)
        return answer


def _ending(code: int | None) -> str:
    try:
        return signal.Signals(-(code or 0)).name
    except ValueError:
        return f"exit code {code}"


def _serve(connection: Connection, opening: Opening, plan: Plan) -> None:
    """The measured process: answers every question, with a value or an error, until none comes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal tells all; the one that waits decides
    served = _Served(opening, plan)
    while True:
        try:
            number, question, *arguments = connection.recv()
        except (EOFError, OSError):
            return
        try:
            connection.send((number, getattr(served, question)(*arguments), None))
        except UsageError as why:
            connection.send((number, None, why))
        except SplitportError as why:
            connection.send((number, None, SplitportError(str(why))))
        except Exception as why:
            connection.send((number, None, SplitportError(f"{type(why).__name__}: {why}")))


class _Served:
    def __init__(self, opening: Opening, plan: Plan) -> None:
        self._opening, self._plan, self._paths = opening, plan, plan.chosen
        self._sent: list[Sent] = []
        self._done = 0

    def open(self) -> None:
        self._meter = Meter(self._opening)
        self._pixels = [self._meter.decode(path) for path in self._paths]
        self._meter.warm_up(self._pixels)

    def decode(self, runs: int) -> None:
        for path in self._next(self._paths, runs):
            self._meter.decode(path)

    def turn(self, runs: int) -> None:
        sent = self._meter.turn(self._next(self._pixels, runs))
        self._done += runs
        rest = len(self._pixels) - len(self._sent)  # every picture gives the same bytes again
        self._sent += [self._meter.encoding.count(each) for each in sent[:rest]]

    def record(self) -> Record:
        return self._meter.record(self._sent, self._plan.device_name)

    def _next(self, things: Sequence[T], count: int) -> list[T]:
        """From where the last turn ended, round and round."""
        return [things[index % len(things)] for index in range(self._done, self._done + count)]


def bundle_subject(told: dict[str, Any], threads: int | None, device_name: str) -> Subject:
    """Of a bundle's description."""
    named = {name: told[name] for name in ("model", "target", "precision", "codec", "bundle_sha256")}
    return Subject(**named, threads=threads, device=device_name)
