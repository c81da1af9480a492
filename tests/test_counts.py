"""Frequency tables in their published form: what is read, what cannot be, and that nothing in them ever runs."""

from __future__ import annotations

import collections
import os
import pickle
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from encoders import counts
from encoders.checkpoint import CheckpointError
from tests.depthwise import counter, write_table


def test_a_table_in_numpys_new_and_old_spelling(tmp_path):
    modern = pickle.dumps(counter(0.5, {0: 3, 7: 1}), protocol=3)
    assert b"numpy._core" in modern
    for data in (modern, modern.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")):
        (tmp_path / "table.pickle").write_bytes(data)
        assert counts.read(tmp_path / "table.pickle", 0.5).tolist() == [3, 0, 0, 0, 0, 0, 0, 1]


WRONG = {
    "no counter": [1, 2],
    "empty": collections.Counter(),
    "between steps": collections.Counter({np.float32(0.75): 1}),
    "negative": collections.Counter({np.float32(-0.5): 1}),
    "not a number": collections.Counter({np.float32("nan"): 1}),
    "infinite": collections.Counter({np.float32("inf"): 1}),
    "too far": collections.Counter({np.float32(0.5 * 2048): 1}),
    "never": collections.Counter({np.float32(0.5): 0}),
    "less than never": collections.Counter({np.float32(0.5): -3}),
    "too often": collections.Counter({np.float32(0.5): 1 << 60}),
    "half a time": {np.float32(0.5): 1.5},
    "truth": {np.float32(0.5): True},
    "float64": collections.Counter({np.float64(0.5): 1}),
    "words": collections.Counter({"zero": 1}),
    "objects": {np.dtype("O"): 1},
    "nested": collections.Counter({(np.float32(0.5),): 1}),
}


@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG)
def test_tables_that_cannot_be(content, tmp_path):
    with pytest.raises(CheckpointError, match=r"table\.pickle"):
        counts.read(write_table(tmp_path / "table.pickle", content), 0.5)


def test_files_that_are_no_tables(tmp_path):
    path = write_table(tmp_path / "table.pickle", counter(0.5, {0: 3, 7: 1}))
    intact = path.read_bytes()
    for data in (b"", b"\x80", intact[:-9], intact[: len(intact) // 2], b"text", bytes(1 << 17)):
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match=r"table\.pickle"):
            counts.read(path, 0.5)
    with pytest.raises(CheckpointError, match="is not a file"):
        counts.read(tmp_path, 0.5)
    path.write_bytes(b"\x80\x04}r\xff\xff\xff\x7f.")  # remembers an object under number 2,147,483,647
    with pytest.raises(CheckpointError, match="2147483647"):
        counts.read(path, 0.5)


class Harm:
    """Calls something with something when it is unpickled."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.called = function, arguments

    def __reduce__(self):
        return self.called


def harmful(marker: Path) -> dict[str, object]:
    touch, write = f"touch {marker}", f"open({str(marker)!r}, 'w')"
    return {
        "posix.system": Harm(os.system, touch),
        "builtins.eval": Harm(eval, write),
        "builtins.exec": Harm(exec, write),
        "subprocess.Popen": Harm(subprocess.Popen, ["touch", str(marker)]),
        "builtins.getattr": Harm(getattr, "text", "upper"),
        "posix.system as a key": {Harm(os.system, touch): 1},
        "builtins.eval as a count": collections.Counter({np.float32(0.5): Harm(eval, write)}),
        "posix.system deep inside": [{"a": (1, [Harm(os.system, touch)])}],
        "torch": {"a": torch.ones(1)},
    }


@pytest.mark.parametrize("name", harmful(Path()))
def test_nothing_runs(name, tmp_path):
    marker = tmp_path / "ran"
    path = write_table(tmp_path / "table.pickle", harmful(marker)[name])
    with pytest.raises(CheckpointError, match="not loaded for safety") as caught:
        counts.read(path, 0.5)
    assert f"asks for {name.split()[0]}" in str(caught.value) and not marker.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"cos\nsystem\n(S'touch %s'\ntR.",
        b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x01 \x85R.",
        b"\x80\x04\x8c\x0bcollections\x8c\x18Counter.fromkeys.__self__\x93.",
        b"\x80\x02cnumpy\nload\nU\x01a\x85R.",
        b"ios\nsystem\n(S'true'\ni.",
        b"\x80\x02U\x01aQ.",
        b"\x80\x04\x82\x01.",
    ],
)
def test_names_are_refused_in_every_opcode(data, tmp_path):
    (tmp_path / "table.pickle").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"table\.pickle is no frequency table"):
        counts.read(tmp_path / "table.pickle", 0.5)


def test_one_file_cannot_change_how_the_next_is_read(tmp_path):
    """A pickle can set attributes of what it is given."""
    spoilt = b"\x80\x04\x8c\x05numpy\x8c\x05dtype\x93N}\x8c\x08__init__Ns\x86b."
    (tmp_path / "spoilt.pickle").write_bytes(spoilt)
    with pytest.raises(CheckpointError):
        counts.read(tmp_path / "spoilt.pickle", 0.5)
    good = write_table(tmp_path / "good.pickle", counter(0.5, {0: 3}))
    assert counts.read(good, 0.5).tolist() == [3]
