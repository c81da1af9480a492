"""What the hosts are doing: a live table where stderr is a terminal, else a line whenever something changes."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Any

from profiling.fleet.run import Outcome, Tell
from runtime.errors import UsageError

_COLOURS = {"done": "green", "failed": "red", "waiting": "yellow"}


@contextlib.contextmanager
def watch(names: Sequence[str], live: bool) -> Iterator[Tell]:
    """Something to tell what each host is doing."""
    if not live:
        yield _Lines()
        return
    try:
        from rich.console import Console
        from rich.live import Live
    except ImportError as why:
        raise UsageError("the live table needs rich: pip install 'splitport[fleet]'") from why
    console = Console(stderr=True)
    table = _Table(names, console)
    # Gone in the end, when what came out is printed to stdout.
    with Live(console=console, get_renderable=table.drawn, refresh_per_second=4, transient=True):
        yield table


class _Lines:
    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    def __call__(self, name: str, what: str) -> None:
        if self._last.get(name) != what:
            self._last[name] = what
            sys.stderr.write(f"{name}: {what}\n")  # at once, for there are several threads
            sys.stderr.flush()


class _Table:
    def __init__(self, names: Sequence[str], console: Any) -> None:
        self._guard, self._console = threading.Lock(), console
        self._rows = {name: ("waiting for its turn", monotonic(), 0.0) for name in names}

    def __call__(self, name: str, what: str) -> None:
        with self._guard:
            now = monotonic()
            since = self._rows[name][1]
            self._rows[name] = (what, since, now if what.startswith(("done", "failed")) else 0.0)

    def drawn(self) -> Any:
        """The table as of now."""
        from rich.constrain import Constrain
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("host", no_wrap=True, max_width=24)
        table.add_column("state", ratio=1)
        table.add_column("time", justify="right")
        with self._guard:
            rows = dict(self._rows)
        for name, (what, since, ended) in rows.items():
            colour = _COLOURS.get(what.split()[0].rstrip(":"), "")
            seconds = int((ended or monotonic()) - since)
            table.add_row(Text(name), Text(what, style=colour), f"{seconds // 60}:{seconds % 60:02}")
        return Constrain(table, self._console.width - 3)  # a terminal writes ^C behind the last line


def lines(outcomes: Sequence[Outcome], titles: dict[str, str]) -> list[str]:
    """The last table: a row for each bundle on each host, ``titles`` by the manifest's SHA-256."""
    rows = [("host", "bundle", "result")]
    for outcome in outcomes:
        if len(outcome.failures) == len(titles) > 1 and len(outcome.reasons) == 1:
            rows.append((outcome.host.name, f"all {len(titles)} bundles", f"failed: {outcome.reasons[0]}"))
            continue
        rows += [(outcome.host.name, title, _result(outcome, sha256)) for sha256, title in titles.items()]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return [f"{host:<{widths[0]}}  {bundle:<{widths[1]}}  {result}" for host, bundle, result in rows]


def _result(outcome: Outcome, sha256: str) -> str:
    if sha256 in outcome.failures:
        return f"failed: {outcome.failures[sha256].failure}"
    record = outcome.records[sha256]
    return f"{record.stages['total']['p50']:#.3g} ms, {record.payload_bytes['mean']:.0f} payload bytes"
