"""The same bundles on boards and here: equal symbols make equal payloads, and each side reads what the other sent."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest

from runtime import Decoder
from tests.aarch64.board import PROCESSORS
from tests.aarch64.conftest import PICTURES, REFUSED, TASKS

pytestmark = pytest.mark.emulated
#: Share of symbols that may differ: engines add up in another order there, and int8 ones round what they added.
ALLOWED = {"fp32": 1e-4, "int8": 0.02}


def _python(boards, name, *words):
    # Elsewhere than in the checkout, which Python would take before what is installed.
    return subprocess.run([str(boards[name]), *words], capture_output=True, text=True, cwd=boards[name].parent)


@pytest.mark.parametrize("name", PROCESSORS)
def test_the_wheel_is_all_it_takes(boards, name):
    """No compiler, no constriction, no torch: the coder came compiled."""
    program = (
        "import importlib.util, json, platform, runtime, runtime.coder\n"
        "absent = ('torch', 'constriction', 'encoders', 'export')\n"
        "found = [each for each in absent if importlib.util.find_spec(each)]\n"
        "print(json.dumps([platform.machine(), runtime.coder.available(), found, runtime.__file__]))"
    )
    done = _python(boards, name, "-c", program)
    assert done.returncode == 0, done.stderr
    machine, coders, found, place = json.loads(done.stdout.splitlines()[-1])
    assert machine == "aarch64" and coders[0] == "native" and not found and "dist-packages" in place


@pytest.mark.parametrize("name", PROCESSORS)
def test_doctor_knows_its_engines(boards, name):
    done = _python(boards, name, "-m", "runtime", "doctor", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert "aarch64" in told["machine"] and told["coders"][0] == "native"
    assert [engine for engine, each in told["engines"].items() if each["version"]] == [
        "onnxruntime",
        "litert",
        "openvino",
    ]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
@pytest.mark.parametrize("name", PROCESSORS)
def test_both_sides_understand_each_other(work, make_bundle, tell, name, task):
    here, there = work["host", task.name].result(), work[name, task.name].result()
    if why := REFUSED.get((name, task.name)):
        assert why in there.said and not (there.folder / "report.json").exists(), "it works now: tell the page"
        tell.append(f"{name}  {task.name}  the engine does not load it: {why}")
        return
    assert (there.folder / "report.json").exists(), there.said
    ours, theirs = here.report, there.report
    assert theirs["machine"] == "aarch64" and theirs["coder"] == "native" and theirs["selftest"]
    assert theirs["read"] == ours["sent"], "the board reads the very symbols that were sent here"
    decoder = Decoder.open(make_bundle(task.model, task.target, task.precision))
    differing, total, equal = 0, 0, 0
    for picture in theirs["sent"]:
        sent, made = here.symbols(picture), there.symbols(picture)
        assert np.array_equal(decoder.symbols(there.payload(picture)).ravel(), made), "and is read here"
        differing, total = differing + int((sent != made).sum()), total + sent.size
        if np.array_equal(sent, made):
            equal += 1
            assert there.payload(picture) == here.payload(picture), "equal symbols, equal bytes"
    count = len(theirs["sent"])
    assert count == min(task.pictures, PICTURES[name]) and differing <= ALLOWED[task.precision] * total
    tell.append(f"{name}  {task.name}  {differing} of {total:,} ({equal} of {count} payloads identical)")
