"""``update``: whatever happens on the way, the link leads to a whole bundle that works here."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from runtime import Encoder
from runtime.bundle import Bundle, seal
from runtime.commands import main
from runtime.errors import BundleError, UsageError
from runtime.update import VERSIONS, roll_back, update
from tests.update.helpers import archive, giving, name_of, tree, whole


def test_first_then_second_then_back(link, bundles, tmp_path, capsys, photographs):
    assert main(["update", str(link), str(bundles[0])]) == 0
    assert "before there was none" in capsys.readouterr().out
    assert link.is_symlink() and str(link.readlink()) == f"{VERSIONS}/{name_of(bundles[0])}"
    expected = Encoder.open(bundles[0], threads=1).encode(photographs[0])
    assert Encoder.open(link, threads=1).encode(photographs[0]) == expected
    packed = archive(bundles[1], tmp_path / "second.tar.gz", "some-name")
    digest = hashlib.sha256(packed.read_bytes()).hexdigest()
    assert main(["update", str(link), str(packed), "--sha256", digest.upper(), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"ok": True, "version": name_of(bundles[1]), "before": name_of(bundles[0]), "removed": [],
                    "changed": True}  # fmt: skip
    assert main(["update", str(link), "--rollback", "--threads", "1"]) == 0
    assert "start them anew" in capsys.readouterr().out
    assert Encoder.open(link, threads=1).encode(photographs[0]) == expected
    assert main(["update", str(link), "--rollback"]) == 2
    assert "no earlier version" in capsys.readouterr().err


def test_the_same_again_changes_nothing(link, bundles, capsys):
    update(link, str(bundles[0]), whole)
    before = tree(link.parent)
    done = update(link, str(bundles[0]), whole)
    assert done.version == done.before and not done.removed and tree(link.parent) == before


def test_old_versions_go(link, bundles):
    names = [name_of(bundle) for bundle in bundles]
    for bundle in bundles:
        done = update(link, str(bundle), whole)
    assert done.removed == [names[0]]
    assert sorted(path.name for path in (link.parent / VERSIONS).glob("[!.]*")) == sorted(names[1:])
    roll_back(link, whole)
    assert link.readlink().name == names[1]
    done = update(link, str(bundles[0]), whole, keep=1)
    assert sorted(done.removed) == sorted(names[1:]) and Bundle.open(link)
    with pytest.raises(UsageError, match="at least 1"):
        update(link, str(bundles[0]), whole, keep=0)


def test_two_links_share_versions(link, bundles):
    """What one of them leads to, or could go back to, the other does not remove."""
    other = link.with_name("other")
    update(other, str(bundles[0]), whole)
    for bundle in (bundles[0], bundles[1], bundles[2]):
        update(link, str(bundle), whole, keep=1)
    assert Bundle.open(other).manifest == Bundle.open(bundles[0]).manifest
    assert sorted(path.name for path in (link.parent / VERSIONS).glob("[!.]*")) == sorted(
        [name_of(bundles[0]), name_of(bundles[2])]
    )


def test_a_version_that_was_damaged_is_not_taken_for_whole(link, bundles):
    update(link, str(bundles[0]), whole)
    graph = link / Bundle.open(link).manifest.graph
    graph.write_bytes(graph.read_bytes()[:-1])
    update(link, str(bundles[0]), whole)
    assert link.readlink().name == f"{name_of(bundles[0])}-2" and Bundle.open(link)


def other_symbols(bundle: Path, output: Path) -> Path:
    """A copy whose graph loads, and computes something else."""
    import onnx
    from onnx import numpy_helper

    shutil.copytree(bundle, output)
    graph = output / Bundle.open(output).manifest.graph
    model = onnx.load(graph)
    largest = max(model.graph.initializer, key=lambda each: len(each.raw_data))
    largest.CopyFrom(numpy_helper.from_array(np.flip(numpy_helper.to_array(largest)).copy(), largest.name))
    graph.write_bytes(model.SerializeToString())
    seal(output, Bundle.open(bundle).manifest)
    return output


def test_a_failing_self_test_changes_nothing(link, bundles, tmp_path, capsys):
    main(["update", str(link), str(bundles[0])])
    before = tree(link.parent)
    damaged = other_symbols(bundles[1], tmp_path / "damaged")
    assert main(["update", str(link), str(damaged)]) == 1
    said = capsys.readouterr().err
    assert "its self-test failed: " in said and "nothing was changed" in said and said.count("\n") == 1
    assert tree(link.parent) == before and not list((link.parent / VERSIONS).glob(".incoming*"))
    assert main(["update", str(tmp_path / "fresh" / "link"), str(damaged)]) == 1
    assert not (tmp_path / "fresh" / "link").is_symlink()


def test_coder_that_gives_other_bytes(link, bundles, tmp_path, capsys):
    damaged = tmp_path / "damaged"
    shutil.copytree(bundles[0], damaged)
    symbols = np.load(damaged / "selftest" / "symbols.npy")
    np.save(damaged / "selftest" / "symbols.npy", symbols + np.int16(1))
    seal(damaged, Bundle.open(bundles[0]).manifest)
    assert main(["update", str(link), str(damaged)]) == 1
    assert "the range coder gives other bytes here" in capsys.readouterr().err


def test_receivers_must_load(link, make_bundle, capsys):
    assert main(["update", str(link), str(make_bundle(side="receiver")), "--threads", "1"]) == 0
    assert main(["update", str(link), str(make_bundle(side="receiver")), "--engine", "litert"]) == 1
    assert "litert cannot run onnx" in capsys.readouterr().err


def test_links_that_are_somebody_elses(link, bundles, tmp_path, capsys):
    directory, foreign = tmp_path / "directory", tmp_path / "foreign"
    directory.mkdir()
    foreign.symlink_to(bundles[0])
    for place, said in ((directory, "is no link: move it away"), (foreign, "remove the link")):
        with pytest.raises(UsageError, match=said):
            update(place, str(bundles[0]), whole)
    assert directory.is_dir() and foreign.readlink() == bundles[0]
    with pytest.raises(UsageError, match="nothing to go back to"):
        roll_back(tmp_path / "nowhere", whole)
    assert not (tmp_path / "nowhere").exists()
    assert main(["update", str(link)]) == 2 and "either SOURCE or --rollback" in capsys.readouterr().err
    assert main(["update", str(link), str(bundles[0]), "--rollback"]) == 2


def test_going_back_proves_what_it_goes_back_to(link, bundles):
    update(link, str(bundles[0]), whole)
    update(link, str(bundles[1]), whole)

    def refuse(bundle: Path) -> None:
        raise BundleError(f"{bundle} does not work")

    with pytest.raises(BundleError, match="does not work"):
        roll_back(link, refuse)
    assert link.readlink().name == name_of(bundles[1])


_KILLED = """
import os, signal, sys
from pathlib import Path
from runtime.bundle import Bundle
from runtime.update import update

link, source, last = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
steps = 0

def hook(event, arguments):
    global steps
    if event in {"os.rename", "os.symlink", "os.remove", "os.mkdir", "os.rmdir"} and str(link.parent) in str(arguments):
        steps += 1
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hook)
update(link, source, Bundle.open, keep=1)
print(steps)
"""


def killed_at(link: Path, source: Path, step: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _KILLED, str(link), str(source), str(step)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_killed_at_any_step(bundles, tmp_path):
    """The link leads to the old version or to the new one, and the next update goes through and tidies up."""
    names, link = [name_of(bundle) for bundle in bundles[:2]], tmp_path / "0" / "current"
    update(link, str(bundles[0]), whole)
    steps = int(killed_at(link, bundles[1], 0).stdout)
    assert steps >= 8, "a folder, two records, a link, a version, and what is removed"
    seen = []
    for step in range(1, steps + 1):
        link = tmp_path / str(step) / "current"
        update(link, str(bundles[0]), whole)
        assert killed_at(link, bundles[1], step).returncode == -signal.SIGKILL
        Bundle.open(link)
        seen.append(link.readlink().name)
        update(link, str(bundles[1]), whole, keep=1)
        assert Bundle.open(link) and link.readlink().name == names[1]
        left = sorted(path.name for path in (link.parent / VERSIONS).iterdir())
        assert left == [".current.json", ".lock", names[1]] and sorted(path.name for path in link.parent.iterdir()) == [
            "current",
            VERSIONS,
        ]
    assert seen == sorted(seen, key=names.index) and set(seen) == set(names)


def test_one_update_at_a_time(link, bundles, tmp_path, serve):
    content = archive(bundles[1], tmp_path / "bundle.tar.gz").read_bytes()
    asked, go = threading.Event(), threading.Event()

    def slow(handler) -> None:
        asked.set()
        assert go.wait(30)
        giving(content)(handler)

    update(link, str(bundles[0]), whole)
    first = threading.Thread(target=update, args=(link, serve(slow), whole))
    first.start()
    try:
        assert asked.wait(30)
        with pytest.raises(BundleError, match=r"another update .* is under way"):
            update(link, str(bundles[2]), whole)
        with pytest.raises(BundleError, match="under way"):
            roll_back(link, whole)
        assert link.readlink().name == name_of(bundles[0])
    finally:
        go.set()
        first.join()
    assert link.readlink().name == name_of(bundles[1])


def test_an_opened_bundle_stays_what_it_was(link, bundles, photographs):
    """A running program goes on with the old version while the link moves, its tables included."""
    update(link, str(bundles[0]), whole)
    opened = Bundle.open(link)
    update(link, str(bundles[1]), whole)
    assert opened.tables.id == Bundle.open(bundles[0]).tables.id != Bundle.open(link).tables.id
