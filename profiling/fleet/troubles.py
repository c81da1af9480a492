"""What ssh says when it fails, in one line that says what to do."""

from __future__ import annotations

import re
import shlex

from profiling.fleet.hosts import Host

_NOT_REACHABLE = "Connection timed out|Operation timed out|No route to host|Network is unreachable|Host is down"


def explain(host: Host, code: int, said: str) -> str:
    """``code`` is ssh's exit code: 255 is its own and so are signals, others come from the host."""
    if code == 255 or code < 0:
        return _ssh_failed(host, said)
    if code in (126, 127):
        return f"{host.python} cannot be run there; set python in its table to a Python that has splitport"
    return f"the host gave up: {_last(said) or f'exit code {code}'}"


def _ssh_failed(host: Host, said: str) -> str:
    """One of ssh's own errors; the first that fits is the cause, what follows are consequences."""
    if "REMOTE HOST IDENTIFICATION HAS CHANGED" in said:
        return _key_changed(said)
    if "Host key verification failed" in said:
        return f"its host key is not known yet; connect once by hand and verify the fingerprint: {_by_hand(host)}"
    if "UNPROTECTED PRIVATE KEY FILE" in said:
        return (
            f"ssh does not use {host.identity or 'its key'}, which others can read: chmod 600 {host.identity or 'it'}"
        )
    if refused := re.search(r"(\S+): Permission denied \(|Too many authentication failures", said):
        return _key_refused(host, refused[1] or host.address, said)
    if named := re.search(r"Could not resolve hostname (\S+):", said):
        return f"no machine has the name {named[1]}; correct address, or give its number"
    if refusing := re.search(r"connect to host (\S+) port (\d+): Connection refused", said):
        return f"nothing answers at {refusing[1]} port {refusing[2]}; is sshd running there, and port right?"
    if re.search(_NOT_REACHABLE, said):
        return f"not reachable; is it on, and in this network? ({_last(said)})"
    if re.search("user config file|[Bb]ad configuration option|missing argument|garbage at end", said):
        return f"ssh does not take its configuration: {_last(said, 'terminating')}"
    return f"connection lost ({_last(said) or 'ssh does not say why'}); run the same again to go on"


def _key_changed(said: str) -> str:
    known_as = re.search(r"[Hh]ost key for (\S+) has changed", said)
    file = re.search(r"Offending .*key in (.+):\d+", said)
    remove = ["ssh-keygen", *(["-f", file[1]] if file else []), "-R", known_as[1] if known_as else "HOST"]
    return (
        "its host key is not the one that known_hosts holds: it was installed anew, or another machine answers in its "
        f"place; verify the fingerprint with whoever runs it, and only then: {shlex.join(remove)}"
    )


def _key_refused(host: Host, who: str, said: str) -> str:
    if "not accessible" in said or "Load key" in said:
        return f"{who} was not let in: {host.identity or 'a key'} cannot be read ({_first(said)})"
    key = host.identity or "the keys that ssh offers"
    return f"{who} is not let in with {key} (permission denied); set identity, ssh-copy-id, or ssh-add a locked key"


def _by_hand(host: Host) -> str:
    words = ["ssh", *options(host), host.address]
    return shlex.join(words)


def options(host: Host) -> list[str]:
    """What the host's table says, as ssh's options."""
    given = {"-F": host.ssh_config, "-p": host.port, "-i": host.identity}
    return [word for option, value in given.items() if value is not None for word in (option, str(value))]


def _first(said: str) -> str:
    return (_lines(said) or [""])[0]


def _last(said: str, without: str = "\0") -> str:
    return ([line for line in _lines(said) if without not in line] or [""])[-1]


def _lines(said: str) -> list[str]:
    return [line.strip() for line in said.splitlines() if line.strip()]
