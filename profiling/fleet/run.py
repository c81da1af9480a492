"""Several hosts side by side; each copies what it lacks, measures what is missing and brings it back."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from profiling import records
from profiling.fleet import plan
from profiling.fleet.cargo import Cargo, Parcel
from profiling.fleet.hosts import Host
from profiling.fleet.remote import HostError, Link
from profiling.records import Entry, Failure, Record, Results

#: Seconds between looks for Ctrl-C: a thread that waits without end may miss the signal where another one got it.
_GLANCE = 0.2

Tell = Callable[[str, str], None]
"""Name of a host, and what it is doing."""


@dataclass(frozen=True)
class Job:
    """What every host is to do."""

    bundles: Sequence[Cargo]
    pictures: Parcel
    runs: int

    @property
    def titles(self) -> dict[str, str]:
        """Manifest's SHA-256 -> what it is."""
        subjects = [cargo.subject("", None) for cargo in self.bundles]
        return {subject.bundle_sha256: f"{subject.model} {subject.artifact}" for subject in subjects}


@dataclass
class Outcome:
    """What a host came to."""

    host: Host
    before: int = 0
    """Bundles that needed no measuring."""
    records: dict[str, Record] = field(default_factory=dict)
    """Manifest's SHA-256 -> record."""
    failures: dict[str, Failure] = field(default_factory=dict)
    """The same for bundles without one."""
    notes: list[str] = field(default_factory=list)

    @property
    def reasons(self) -> list[str]:
        """Why bundles failed, each reason once."""
        return list(dict.fromkeys(failure.failure for failure in self.failures.values()))

    def told(self) -> dict[str, Any]:
        """In numbers, for ``--json``."""
        return {"records": len(self.records), "before": self.before, "failures": self.reasons}


class Ledger:
    """The output: what it holds, and what hosts add to it, one at a time."""

    def __init__(self, path: Path) -> None:
        records.check_output(path)
        self._path, self._guard = path, threading.Lock()
        self.held = records.read(path) if path.exists() and path.stat().st_size else Results([])

    def add(self, entries: Sequence[Entry]) -> None:
        """To the file first."""
        with self._guard:
            if entries:
                records.append(self._path, *entries)
            measured = [*self.held.records, *(entry for entry in entries if isinstance(entry, Record))]
            failed = [*self.held.failures, *(entry for entry in entries if isinstance(entry, Failure))]
            self.held = Results(measured, failed, self.held.notes)


def fleet(hosts: Sequence[Host], job: Job, ledger: Ledger, tell: Tell) -> list[Outcome]:
    """Serve all hosts; none waits for another. Ctrl-C stops them, and keeps what has come back."""
    errands = [_Errands(host, job, ledger, tell) for host in hosts]
    with ThreadPoolExecutor(len(errands)) as pool:
        futures = [pool.submit(each.serve) for each in errands]
        try:
            while wait(futures, _GLANCE).not_done:
                pass
        except KeyboardInterrupt:
            with ThreadPoolExecutor(len(errands)) as ends:
                wait([ends.submit(each.link.end) for each in errands])
            raise
    return [future.result() for future in futures]


class _Errands:
    """One host, from the first look to the last record."""

    def __init__(self, host: Host, job: Job, ledger: Ledger, tell: Tell) -> None:
        self._host, self._job, self._ledger = host, job, ledger
        self._tell = partial(tell, host.name)
        self._outcome = Outcome(host)
        self._failed: dict[str, Failure] = {}
        self.link = Link(host, self._hear)

    def serve(self) -> Outcome:
        """Whatever goes wrong with the host becomes failures of its bundles."""
        outcome, total = self._outcome, len(self._job.bundles)
        outcome.before = total - len(self._missing())
        try:
            if self._missing():
                self._fetch_and_measure()
        except HostError as why:
            if self.link.ended:
                return outcome
            self._fail(self._missing(), str(why))
        outcome.records = self._measured()
        outcome.failures = {cargo.sha256: self._failed[cargo.sha256] for cargo in self._missing()}
        self._tell(in_words(outcome, total))
        return outcome

    def _fetch_and_measure(self) -> None:
        job = self._job
        self._tell("connecting")
        parcels = [job.pictures, *(cargo.parcel for cargo in self._missing())]
        seen = self.link.look(parcels)
        if seen["schema"] != records.SCHEMA:
            raise HostError(
                f"its splitport writes records of schema {seen['schema']}, this one reads {records.SCHEMA}; "
                "install the same version on both"
            )
        came, unread = self._take(seen["results"])
        if came:
            self._outcome.notes.append(f"{self._host.name}: {len(came)} results of an earlier run were waiting there")
        missing = self._missing()
        if not missing:
            return
        needed = [job.pictures, *(cargo.parcel for cargo in missing)]
        self._copy([parcel for parcel in needed if parcel.name not in seen["there"]])
        self._measure(missing, unread)

    def _copy(self, parcels: Sequence[Parcel]) -> None:
        for number, parcel in enumerate(parcels, 1):
            self._tell(f"copying {number}/{len(parcels)}")
            self.link.send(parcel)

    def _measure(self, missing: Sequence[Cargo], unread_before: str) -> None:
        host = self._host
        self._tell("measuring")
        answer = self.link.measure([
            *(cargo.parcel.name for cargo in missing), "--images", self._job.pictures.name,
            "--runs", str(self._job.runs), f"--device-name={host.name}", "--json",
            *(["--threads", str(host.threads)] if host.threads is not None else []),
            *(["--engine", host.engine] if host.engine is not None else []),
        ])  # fmt: skip
        came, why = self._take(answer["results"])
        self._failed.update((entry.subject.bundle_sha256, entry) for entry in came if isinstance(entry, Failure))
        if not why or why == unread_before:
            said = " ".join(answer["log"][-1:]) or "it did not say why"
            why = f"its profiler left no record of {self._job.runs} encodes: {said}"
        self._fail(plan.silent(host, self._missing(), came), why)

    def _take(self, text: str) -> tuple[list[Entry], str]:
        """Into the output, then off the host; and why lines could not be read."""
        if not text.strip():
            return [], ""
        self._tell("fetching")
        fetched = records.parse((self._host.name, text.encode(errors="replace")))
        new = plan.fresh(self._host, self._job.bundles, fetched, self._ledger.held)
        self._ledger.add(new)
        if ours := plan.fresh(self._host, self._job.bundles, fetched, Results([])):
            with contextlib.suppress(HostError):  # they are here; next time they are known
                self.link.forget(map(plan.key, ours))
        note = "".join(fetched.notes[-1:])
        return new, note and f"its records cannot be read here ({note}); install the same splitport on both"

    def _fail(self, bundles: Iterable[Cargo], why: str) -> None:
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        failures = plan.failures(self._host, bundles, why, now)
        self._failed.update((failure.subject.bundle_sha256, failure) for failure in failures)
        self._ledger.add(failures)

    def _measured(self) -> dict[str, Record]:
        return plan.measured(self._host, self._job.bundles, self._job.runs, self._ledger.held.records)

    def _missing(self) -> list[Cargo]:
        return plan.missing(self._host, self._job.bundles, self._job.runs, self._ledger.held.records)

    def _hear(self, event: dict[str, Any]) -> None:
        if event.get("state") == "waiting":
            self._tell(f"waiting for process {event['process']}, which works there")
        elif event.get("state") == "measuring":
            self._tell("measuring")


def in_words(outcome: Outcome, total: int) -> str:
    """How a host ended."""
    count = len(outcome.records)
    if outcome.failures:
        why = " | ".join(outcome.reasons)
        return f"done: {count} of {total} records, failed: {why}" if count else f"failed: {why}"
    known = " (all measured before)" if outcome.before == total else ""
    return f"done: {count} record{'s' * (count != 1)}{known}"
