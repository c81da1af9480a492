"""The hosts of a fleet, as a TOML file names them: one table ``[hosts.NAME]`` each, and ``[defaults]`` for all."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime import engines
from runtime.errors import UnknownName, UsageError

_KINDS: dict[str, type] = {
    "address": str, "port": int, "identity": str, "ssh_config": str,
    "python": str, "folder": str, "engine": str, "threads": int,
}  # fmt: skip
_IN_WORDS = {str: "a text", int: "a whole number"}


@dataclass(frozen=True)
class Host:
    """Where to measure. None leaves the choice to ssh, or to the engine."""

    name: str
    """What the report calls it."""
    address: str
    """As ssh takes it; the name where nothing else is given, so that ``~/.ssh/config`` can know the rest."""
    port: int | None = None
    identity: str | None = None
    ssh_config: str | None = None
    python: str = "python3"
    """Its Python with splitport; from the home directory on, unless it is absolute or on the PATH."""
    folder: str = "splitport-fleet"
    """Where bundles, pictures and results go; from the home directory on, unless it is absolute."""
    engine: str | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        """What ssh or the profiler would misunderstand."""
        if not self.name.strip() or not self.name.isprintable():
            raise UsageError(f"{self.name!r} is no name for a host")
        if self.address.startswith("-") or any(letter.isspace() for letter in self.address):
            raise UsageError(f'{self.address!r} is not an address; set address = "user@machine"')
        if self.port is not None and not 1 <= self.port <= 0xFFFF:
            raise UsageError(f"port must be from 1 to 65535, not {self.port}")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"threads must be at least 1, not {self.threads}")
        if self.engine is not None:
            engines.spec(self.engine)


def read(path: Path, only: Sequence[str] | None = None) -> list[Host]:
    """All hosts of a file, or those that are asked for. Local paths in it start where the file is."""
    tables = _parse(path)
    _known("table", tables, ("defaults", "hosts"), str(path))
    defaults, named = (_table(tables.get(key, {}), f"{path}, [{key}]") for key in ("defaults", "hosts"))
    if not named:
        raise UsageError(f"{path} names no host; add a table for each: [hosts.NAME]")
    _check(defaults, f"{path}, [defaults]")
    hosts = {name: _host(name, defaults, table, path) for name, table in named.items()}
    for name in only or ():
        if name not in hosts:
            raise UnknownName("host", name, hosts)
    return [host for host in hosts.values() if not only or host.name in only]


def _host(name: str, defaults: dict[str, Any], table: Any, path: Path) -> Host:
    where = f"{path}, [hosts.{name}]"
    _check(_table(table, where), where)
    values = {"address": name, **defaults, **table}
    try:
        for key in {"identity", "ssh_config"} & set(values):
            values[key] = str(path.parent / Path(values[key]).expanduser())
        return Host(name, **values)
    except (UsageError, RuntimeError) as why:  # RuntimeError: nobody has the home directory that ~ names
        raise UsageError(f"{where}: {why}") from why


def _check(values: dict[str, Any], where: str) -> None:
    _known("key", values, _KINDS, where)
    for key, value in values.items():
        kind = _KINDS[key]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise UsageError(f"{where}: {key} must be {_IN_WORDS[kind]}, not {value!r}")
        if isinstance(value, str) and not (value and value.isprintable()):
            raise UsageError(f"{where}: {key} must be a text that can be printed, not {value!r}")


def _known(kind: str, values: dict[str, Any], known: Any, where: str) -> None:
    for key in values:
        if key not in known:
            raise UsageError(f"{where}: {UnknownName(kind, key, known)}")


def _table(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{where} must be a table, not {value!r}")
    return value


def _parse(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        try:
            import tomli as tomllib
        except ImportError as why:
            raise UsageError("reading TOML needs tomli on this Python: pip install 'splitport[fleet]'") from why
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as why:  # text that is not UTF-8 too
        raise UsageError(f"{path} is not TOML: {why}") from why
