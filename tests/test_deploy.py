"""The service file and the container file: read strictly here, since neither systemd nor an engine runs in tests."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

UNIT = ROOT / "deploy" / "splitport-stream.service"
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
#: What the unit may say; anything else is a misspelling until somebody has looked it up.
_KEYS = {
    "Unit": {"Description", "Documentation", "Wants", "After", "StartLimitIntervalSec"},
    "Service": {
        *("Type", "WatchdogSec", "TimeoutStartSec", "TimeoutStopSec", "Restart", "RestartSec", "EnvironmentFile"),
        *("ExecStart", "DynamicUser", "SupplementaryGroups", "StateDirectory", "UMask", "MemoryMax", "TasksMax"),
        *("DevicePolicy", "DeviceAllow", "NoNewPrivileges", "CapabilityBoundingSet", "AmbientCapabilities"),
        *("ProtectSystem", "ProtectHome", "ProtectProc", "ProtectClock", "ProtectHostname", "ProtectControlGroups"),
        *("ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables", "PrivateTmp", "RemoveIPC"),
        *("RestrictAddressFamilies", "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID"),
        *("LockPersonality", "SystemCallArchitectures", "SystemCallFilter", "SystemCallErrorNumber"),
    },
    "Install": {"WantedBy"},
}


def sections(text: str) -> dict[str, dict[str, list[str]]]:
    """A unit as systemd reads it: a key may come more than once."""
    found: dict[str, dict[str, list[str]]] = {}
    for line in text.splitlines():
        if not line.strip() or line[0] in "#;":
            continue
        if header := re.fullmatch(r"\[(\w+)\]", line):
            current = found.setdefault(header[1], {})
            continue
        entry = re.fullmatch(r"([A-Za-z]+)=(.*)", line)
        assert entry, f"{line!r} is neither a section nor an entry"
        current.setdefault(entry[1], []).append(entry[2])
    return found


@pytest.fixture(scope="module")
def service() -> dict[str, list[str]]:
    return sections(UNIT.read_text())["Service"]


def test_every_key_of_the_unit_is_known():
    said = sections(UNIT.read_text())
    assert set(said) == set(_KEYS)
    for section, entries in said.items():
        assert set(entries) <= _KEYS[section]
        assert all(len(values) == 1 for key, values in entries.items() if key != "DeviceAllow")


def test_the_unit_starts_a_command_that_exists(service):
    from runtime.commands import COMMANDS

    words = shlex.split(service["ExecStart"][0])
    assert words[0].startswith("/") and words[1:3] == ["-m", "runtime"] and words[3] in COMMANDS
    assert words[-1] == "$STREAM" and service["EnvironmentFile"] == ["/etc/splitport-stream.conf"]
    assert service["Type"] == ["notify"] and int(service["WatchdogSec"][0]) and service["Restart"] == ["on-failure"]


def test_the_unit_is_hardened(service):
    for key in ("DynamicUser", "NoNewPrivileges", "PrivateTmp", "ProtectHome", "ProtectKernelTunables"):
        assert service[key] == ["yes"]
    assert service["ProtectSystem"] == ["strict"] and service["CapabilityBoundingSet"] == [""]
    assert "char-video4linux rw" in service["DeviceAllow"] and service["DevicePolicy"] == ["closed"]
    assert "PrivateDevices" not in service, "it would hide the cameras"
    assert re.fullmatch(r"\d+M", service["MemoryMax"][0])


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed; the strict reading stands")
def test_systemd_itself_accepts_the_unit(tmp_path):
    """With a Python that is there: the one of the unit is on boards only."""
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/splitport/bin/python", sys.executable))
    verify = ["systemd-analyze", "verify", "--man=no", str(copy)]
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "") and UNIT.name not in done.stderr


def instructions() -> list[tuple[str, str]]:
    """(instruction, arguments), continued lines joined."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in joined]


def test_every_base_is_pinned_to_a_patch_release():
    bases = [words.split()[0] for name, words in instructions() if name == "FROM"]
    assert len(set(bases)) == 1, "what the build stage makes runs on the same Python"
    assert re.fullmatch(r"python:3\.1[0-3]\.\d+-slim-[a-z]+", bases[0])


def test_what_is_copied_exists():
    for name, words in instructions():
        assert name != "ADD"
        if name == "COPY":
            *sources, target = words.split()
            assert sources and target and all((ROOT / source).exists() for source in sources)


def test_the_build_stage_has_what_the_wheels_are_made_of():
    import ast

    said = (ROOT / "pyproject.toml").read_text()
    listed = re.search(r"\[tool\.setuptools\]\npackages = (\[.*?\n\])", said, re.DOTALL)
    assert listed
    packages = {name.partition(".")[0] for name in ast.literal_eval(listed[1])}
    copied = {source for name, words in instructions() if name == "COPY" for source in words.split()[:-1]}
    assert packages <= copied and {"pyproject.toml", "README.md", "LICENSE", "deploy"} <= copied


def test_nothing_is_left_behind_and_nothing_runs_as_root():
    said = instructions()
    last = max(i for i, (name, _) in enumerate(said) if name == "FROM")
    runs = [words for name, words in said if name == "RUN"]
    assert not any(re.search(r"\b(apt|apt-get|curl|wget|sudo)\b", words) for words in runs)
    assert all("--no-cache-dir" in words for words in runs if "pip install" in words)
    users = [words for name, words in said[last:] if name == "USER"]
    assert users and users[-1].isdecimal() and int(users[-1]) > 0
    assert [name for name, _ in said[last:]][-2:] == ["ENTRYPOINT", "CMD"]


def test_tools_of_the_build_stage_are_pinned():
    (tools,) = (words for name, words in instructions() if name == "RUN" and "ziglang" in words)
    wanted = tools.partition("--no-cache-dir")[2].split()
    assert wanted and all(re.fullmatch(r"[a-z]+==[\d.]+", each) for each in wanted)


def test_the_wheel_that_the_container_installs_is_the_one_that_is_built():
    text = DOCKERFILE.read_text()
    pattern = re.search(r"/wheels/(\S+\.whl)", text)
    assert pattern and Path("splitport_runtime-0.1.0-py3-none-manylinux_2_17_aarch64.whl").match(pattern[1])
    assert not Path("splitport_runtime-0.1.0-py3-none-manylinux_2_17_x86_64.whl").match(pattern[1])
    assert "splitport-runtime" in (ROOT / "deploy" / "wheels.py").read_text() and "[litert]" in text
