"""What a person reads: ssh's complaints in one line, and the tables."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from profiling.fleet import table
from profiling.fleet.hosts import Host
from profiling.fleet.run import Outcome, in_words
from profiling.fleet.troubles import explain
from profiling.records import Failure

HOST = Host("board", "user@192.0.2.1", identity="/keys/mine")


@pytest.mark.parametrize(
    ("code", "said", "message"),
    [
        (255, "ssh: connect to host 192.0.2.1 port 22: Connection timed out", "not reachable; is it on"),
        (255, "ssh: connect to host 192.0.2.1 port 22: No route to host", "not reachable; is it on"),
        (255, "Timeout, server 192.0.2.1 not responding.", "connection lost (Timeout, server 192.0.2.1 not"),
        (255, "Connection reset by 192.0.2.1 port 22", "connection lost (Connection reset"),
        (255, "", "connection lost (ssh does not say why); run the same again to go on"),
        (-9, "", "connection lost"),
        (255, "@@@\n@  WARNING: UNPROTECTED PRIVATE KEY FILE!  @\nLoad key: bad permissions", "chmod 600 /keys/mine"),
        (255, "Received disconnect from 192.0.2.1: Too many authentication failures", "not let in with /keys/mine"),
        (127, "sh: 1: python3: not found", "python3 cannot be run there; set python"),
        (126, "sh: 1: python3: Permission denied", "python3 cannot be run there; set python"),
        (1, "Traceback\nMemoryError\n", "the host gave up: MemoryError"),
        (1, "", "the host gave up: exit code 1"),
    ],
)
def test_one_line_says_what_to_do(code, said, message):
    why = explain(HOST, code, said)
    assert message in why and "\n" not in why


def _drawn(rows: table._Table) -> list[str]:
    screen = Console(file=io.StringIO(), width=80)
    screen.print(rows.drawn())
    return screen.file.getvalue().splitlines()


def test_the_live_table_fits_eighty_columns(monkeypatch):
    now = 100.0
    monkeypatch.setattr(table, "monotonic", lambda: now)
    rows = table._Table(["board", "[red]a name of many, many letters"], Console(width=80))
    rows("board", "failed: " + "words " * 30)
    now = 165.0
    rows("[red]a name of many, many letters", "copying 2/3")
    head, *lines = _drawn(rows)
    assert head.split() == ["host", "state", "time"] and all(len(line.rstrip()) <= 77 for line in (head, *lines))
    assert lines[0].startswith("board ") and lines[0].endswith("0:00"), "its clock has stopped"
    assert " ".join(lines).count("words") == 30, "reasons are not cut"
    assert lines[-1].startswith("[red]a name") and "copying 2/3" in lines[-1] and lines[-1].endswith("1:05")


def test_the_last_table_tells_each_reason_once(measured):
    first, second = measured
    titles = {first.bundle_sha256: "the first", second.bundle_sha256: "the second"}
    failures = {each.bundle_sha256: Failure("made up", each.subject, first.date) for each in measured}
    some = Outcome(HOST, 0, {first.bundle_sha256: first}, {second.bundle_sha256: failures[second.bundle_sha256]})
    none = Outcome(replace(HOST, name="another board"), 0, {}, failures)
    assert [line.split(None, 1)[1] for line in table.lines([some], titles)[2:]] == ["the second  failed: made up"]
    head, one, two, rest = table.lines([some, none], titles)
    assert one.startswith("board          the first      ") and one.endswith(" payload bytes")
    assert one[head.index("result") :].startswith(f"{first.stages['total']['p50']:#.3g} ms, ")
    assert two.startswith("board          the second     failed: made up")
    assert rest == "another board  all 2 bundles  failed: made up"
    assert in_words(some, 2) == "done: 1 of 2 records, failed: made up" and in_words(none, 2) == "failed: made up"
    assert in_words(Outcome(HOST, 1, {first.bundle_sha256: first}), 1) == "done: 1 record (all measured before)"
