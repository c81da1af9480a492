"""What is left to do, seen from the records that are there. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from profiling.fleet.cargo import Cargo
from profiling.fleet.hosts import Host
from profiling.records import Entry, Failure, Record, Results
from runtime import engines


def measured(host: Host, wanted: Sequence[Cargo], runs: int, held: Iterable[Record]) -> dict[str, Record]:
    """Manifest's SHA-256 -> the last record of it on this host, with at least as many runs."""
    subjects = {cargo.subject(host.name, host.threads): cargo.sha256 for cargo in wanted}
    fitting = [
        record
        for record in held
        if record.subject in subjects
        and record.runs >= runs
        and record.task is None  # an evaluation tells accuracy
        and (host.engine is None or _ran_on(record, host.engine))
    ]
    return {subjects[record.subject]: record for record in sorted(fitting, key=lambda record: record.date)}


def _ran_on(record: Record, engine: str) -> bool:
    wanted, provider = engines.parse(engine)
    said, _, where = record.engine.partition(", ")
    return said.split()[0] in (wanted.name, *wanted.packages) and where == (provider or "")


def missing(host: Host, wanted: Sequence[Cargo], runs: int, held: Iterable[Record]) -> list[Cargo]:
    """Bundles that this host has yet to measure."""
    done = measured(host, wanted, runs, held)
    return [cargo for cargo in wanted if cargo.sha256 not in done]


def fresh(host: Host, wanted: Sequence[Cargo], fetched: Results, held: Results) -> list[Entry]:
    """What a host's results say of these bundles, and the output does not hold yet."""
    before: list[Entry] = [*held.records, *held.failures]
    known = set(map(key, before))
    subjects = {cargo.subject(host.name, host.threads) for cargo in wanted}
    entries: list[Entry] = [*fetched.records, *fetched.failures]
    return [entry for entry in entries if entry.subject in subjects and key(entry) not in known]


def key(entry: Entry) -> tuple[str, str, int | None, str]:
    """What tells an entry from others."""
    subject = entry.subject
    return subject.device, subject.bundle_sha256, subject.threads, entry.date


def failures(host: Host, bundles: Iterable[Cargo], why: str, date: str) -> list[Failure]:
    """One for each bundle that a host could not measure."""
    return [Failure(why, cargo.subject(host.name, host.threads), date) for cargo in bundles]


def silent(host: Host, left: Iterable[Cargo], came: Iterable[Entry]) -> list[Cargo]:
    """Bundles that were to be measured and were not, without a word why."""
    told = {entry.subject for entry in came if isinstance(entry, Failure)}
    return [cargo for cargo in left if cargo.subject(host.name, host.threads) not in told]
