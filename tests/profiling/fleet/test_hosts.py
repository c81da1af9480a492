"""Reading hosts.toml: all that it can hold, and one line for whatever else it holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from profiling.commands import main
from profiling.fleet import hosts
from profiling.fleet.hosts import Host
from runtime.errors import UnknownName, UsageError


def _read(folder: Path, text: str, *only: str) -> list[Host]:
    (folder / "hosts.toml").write_text(text)
    return hosts.read(folder / "hosts.toml", only)


def test_a_name_is_enough(tmp_path):
    assert _read(tmp_path, "[hosts.board]") == [Host("board", "board")]
    assert (Host("a", "a").python, Host("a", "a").folder) == ("python3", "splitport-fleet")


def test_all_that_a_table_can_say(tmp_path):
    text = """
        [defaults]
        threads = 1
        folder = "of all"
        [hosts."a board, in the attic"]
        address = "user@board.local"
        port = 2222
        identity = "~/key"
        ssh_config = "config"
        python = "~/with space/python"
        engine = "openvino"
        threads = 4
        [hosts.b]
    """
    first, second = _read(tmp_path, text)
    home, here = str(Path.home() / "key"), str(tmp_path / "config")
    assert first == Host(
        "a board, in the attic", "user@board.local", 2222, home, here, "~/with space/python", "of all", "openvino", 4
    )  # fmt: skip
    assert second == Host("b", "b", folder="of all", threads=1)
    assert _read(tmp_path, text, "b") == [second]
    with pytest.raises(UnknownName, match="unknown host 'c'"):
        _read(tmp_path, text, "c")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no host; add a table for each: [hosts.NAME]"),
        ("[hosts]", "names no host"),
        ("[default]\nthreads = 1\n[hosts.a]", "unknown table 'default'; did you mean 'defaults'?"),
        ("[hosts.a]\nadress = 'x'", "[hosts.a]: unknown key 'adress'; did you mean 'address'?"),
        ("[defaults]\nthread = 1\n[hosts.a]", "[defaults]: unknown key 'thread'; did you mean 'threads'?"),
        ("[hosts.a]\nport = '22'", "[hosts.a]: port must be a whole number, not '22'"),
        ("[hosts.a]\nthreads = true", "threads must be a whole number, not True"),
        ("[hosts.a]\nthreads = 1.0", "threads must be a whole number, not 1.0"),
        ("[hosts.a]\npython = 3", "python must be a text, not 3"),
        ("[hosts.a]\npython = ''", "python must be a text that can be printed, not ''"),
        ('[hosts.a]\nfolder = "a\\nb"', "folder must be a text that can be printed"),
        ("[hosts.a]\nport = 0", "port must be from 1 to 65535, not 0"),
        ("[hosts.a]\nthreads = 0", "threads must be at least 1, not 0"),
        ("[hosts.a]\nengine = 'openvin'", "unknown engine 'openvin'; did you mean 'openvino'?"),
        ("[hosts.a]\naddress = '-oProxyCommand=x'", "is not an address"),
        ("[hosts.'two words']", "'two words' is not an address; set address"),
        ("[hosts.' ']\naddress = 'a'", "' ' is no name for a host"),
        ("[hosts.a]\nidentity = '~nobody-has-this-name/key'", "[hosts.a]: "),
        ("hosts = 3", "[hosts] must be a table, not 3"),
        ("[hosts]\na = 3", "[hosts.a] must be a table, not 3"),
        ("[hosts.a", "is not TOML"),
    ],
)
def test_what_is_wrong_with_a_file(text, message, tmp_path):
    with pytest.raises(UsageError) as why:
        _read(tmp_path, text)
    assert message in str(why.value) and str(tmp_path / "hosts.toml") in str(why.value)
    assert "\n" not in str(why.value)


def test_text_that_is_not_utf8(tmp_path):
    (tmp_path / "hosts.toml").write_bytes(b"[hosts.\xff]")
    with pytest.raises(UsageError, match="is not TOML"):
        hosts.read(tmp_path / "hosts.toml")


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"hosts": "absent.toml"}, 1, "absent.toml: No such file"),
        ({"bundle": "absent"}, 1, "absent is not a bundle"),
        ({"images": "absent"}, 2, "neither a picture nor a folder"),
        ({"runs": "0"}, 2, "--runs must be at least 1, not 0"),
        ({"output": "hosts.toml"}, 1, "choose another file with -o"),
        ({"more": ("--only", "bord")}, 2, "unknown host 'bord'; did you mean 'board'?"),
        ({"bundle": "RECEIVER"}, 2, "only encoder bundles can be measured"),
    ],
)
def test_bad_requests_reach_no_host(change, code, message, make_bundle, photographs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")  # no ssh either
    Path("hosts.toml").write_text("[hosts.board]\n")
    given = {"hosts": "hosts.toml", "bundle": make_bundle("ours_n0", weights="seeded"), "images": photographs[0]}
    given |= {"runs": "4", "output": "results.jsonl", "more": (), **change}
    if given["bundle"] == "RECEIVER":
        given["bundle"] = make_bundle("ours_n0", side="receiver")
    words = ["fleet", given["hosts"], given["bundle"], "--images", given["images"], "--runs", given["runs"]]
    assert main([str(word) for word in (*words, "-o", given["output"], *given["more"])]) == code
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and message in error[0]
    assert [path.name for path in tmp_path.iterdir()] == ["hosts.toml"]
