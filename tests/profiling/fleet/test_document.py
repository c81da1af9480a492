"""The page about the fleet, as a reader would follow it: its file of hosts, its commands, on hosts of this machine."""

from __future__ import annotations

import getpass
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from profiling import records
from tests.conftest import ROOT

PAGE = (ROOT / "docs/fleet.md").read_text()


def _blocks(language: str) -> str:
    return "".join(re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))


@pytest.fixture
def workplace(server, photographs, tmp_path):
    """Where the page's boards are this machine, with its Python and its user."""
    (tmp_path / "known_hosts").write_text(server.known())
    (tmp_path / "ssh_config").write_text(
        f"Host pi5.local jetson\nHostName 127.0.0.1\nPort {server.port}\nIdentityFile {server.key}\n"
        "IdentityAgent none\nIdentitiesOnly yes\nGlobalKnownHostsFile /dev/null\n"
        f"UserKnownHostsFile {tmp_path}/known_hosts\n"
    )
    here = {
        "[defaults]": f'[defaults]\nssh_config = "ssh_config"\nfolder = "{tmp_path}/board"',
        '"~/splitport/.venv/bin/python"': f'"{sys.executable}"',
        "pi@": f"{getpass.getuser()}@",
    }
    hosts = _blocks("toml")
    for theirs, ours in here.items():
        assert theirs in hosts
        hosts = hosts.replace(theirs, ours)
    (tmp_path / "hosts.toml").write_text(hosts)
    (tmp_path / "pictures").mkdir()
    shutil.copy(photographs[0], tmp_path / "pictures")
    return tmp_path


def test_the_page_works(workplace):
    commands = [line for line in _blocks("sh").splitlines() if line]
    assert len(commands) == 4
    for command in commands:
        words = [sys.executable, "-W", "ignore", *shlex.split(command)[1:]]
        done = subprocess.run(words, cwd=workplace, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    found = [record.subject for record in records.read(workplace / "results.jsonl").records]
    assert {(each.device, each.target) for each in found} == {
        (device, target) for device in ("pi5", "jetson") for target in ("onnx", "tflite")
    }
    assert "| jetson |" in done.stdout and "| pi5 |" in done.stdout
