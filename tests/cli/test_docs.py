"""The documents are true: their commands run, their Python runs, their tables are the registries'."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from encoders.drawn import draw
from export.capabilities import capability_table, families_table, targets_table
from tests.conftest import ROOT

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)


def commands(document: Path) -> list[str]:
    lines = "\n".join(blocks(document, "sh")).splitlines()
    return [line.partition("  #")[0].strip() for line in lines if line.strip()]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, photographs):
    """Where a newcomer stands: a directory with a picture, and labelled folders."""
    folder = tmp_path_factory.mktemp("newcomer")
    (folder / "picture.jpg").write_bytes(photographs[1].read_bytes())
    for index, (part, count) in enumerate({"train": 20, "val": 3, "pictures": 10}.items()):
        for label in ("left", "right"):
            (folder / part / label).mkdir(parents=True)
            for seed in range(count):
                picture = Image.fromarray(draw(1000 * index + seed, 240))
                picture.save(folder / part / label / f"{seed}.jpg")
    file, line = blocks(ROOT / "docs" / "adding-a-model.md", "python")
    (folder / "my_package").mkdir()
    (folder / "my_package" / "my_encoder.py").write_text(file)
    (folder / "my_package" / "__init__.py").write_text(line)
    return folder


RUN = {
    "README.md": 9,
    "docs/training.md": 6,
    "docs/quantisation.md": 4,
    "docs/context-coding.md": 4,
    "docs/hyperpriors.md": 4,
    "docs/sc2.md": 3,
    "docs/frankensplit.md": 1,
    "docs/adding-a-model.md": 4,
    "docs/latency-report.md": 12,
    "docs/raspberry-pi.md": 7,
    "docs/jetson.md": 2,
}
#: Run where there are other machines to talk to.
ELSEWHERE = {"docs/fleet.md": "tests/profiling/fleet/test_document.py"}


def _here(words: list[str], capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    from export.commands import main

    capfd.readouterr()
    return main(words), capfd.readouterr().err


def _apart(module: str, words: list[str]) -> tuple[int, str]:
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", module, *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    return done.returncode, done.stderr


@pytest.mark.parametrize(("document", "least"), RUN.items())
def test_commands_and_then_python_run(workplace, document, least, monkeypatch, capfd):
    """In the order in which they stand."""
    ours = [command for command in commands(ROOT / document) if command.startswith("python -m")]
    assert len(ours) >= least
    monkeypatch.chdir(workplace)
    for command in ours:
        module, *words = shlex.split(command)[2:]
        # Exports in this process, which saves the seconds that importing PyTorch takes; not where they register a
        # model, which would stay.
        here = module == "export" and "--register" not in words
        code, said = _here(words, capfd) if here else _apart(module, words)
        assert code == 0 and "Traceback" not in said, f"{command}\n{said}"
    for snippet in blocks(ROOT / document, "python") if document != "docs/adding-a-model.md" else ():
        done = subprocess.run([sys.executable, "-c", snippet], cwd=workplace, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_is_one_we_know(document):
    """make targets exist, extras exist; anything else in a shell block is run by the tests here."""
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for command in commands(document):
        words = shlex.split(command)
        if words[0] == "make":
            assert set(words[1:]) <= targets, command
        else:
            assert words[:2] == ["python", "-m"], command
            assert str(document.relative_to(ROOT)) in RUN | ELSEWHERE, f"{command} is run by no test"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_extras_and_links_exist(document):
    text = document.read_text()
    optional = (ROOT / "pyproject.toml").read_text().partition("[project.optional-dependencies]")[2]
    extras = re.findall(r"^([a-z]+) = \[", optional.partition("\n[project.scripts]")[0], re.MULTILINE)
    assert set(re.findall(r"splitport\[([a-z]+)\]", text)) <= set(extras)
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (document.parent / link).exists(), link


@pytest.mark.parametrize(
    ("document", "mark", "table"),
    [
        ("README.md", "families", families_table),
        ("README.md", "targets", targets_table),
        ("docs/models.md", "capabilities", capability_table),
    ],
)
def test_tables_are_the_registries(document, mark, table):
    inside = (ROOT / document).read_text().partition(f"<!-- {mark} -->")[2].partition(f"<!-- /{mark} -->")[0]
    assert inside.strip() == table(), f"paste what export.capabilities.{table.__name__}() gives"


def test_model_page_registers_a_model(workplace):
    """The package on the page, from outside this one: its name is known, and its commands have run."""
    program = (
        "import my_package\n"
        "from encoders import spec\n"
        "from export.capabilities import capability_table\n"
        "assert 'my_encoder' in capability_table() and spec('my_encoder').grid(64) == (4, 4)"
    )
    environment = os.environ | {"PYTHONPATH": f"{workplace}"}
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, capture_output=True, env=environment)


def test_wire_format_page_agrees_with_the_code():
    """The page as a program: its rules, transcribed, give the vectors' bytes."""
    import json

    vectors = json.loads((ROOT / "tests" / "golden" / "plain.json").read_text())["vectors"]
    for vector in vectors.values():
        assert _body_by_the_page(vector).hex() == vector["body_hex"]


def _body_by_the_page(vector: dict) -> bytes:
    low, span, words = 0, 2**64 - 1, 0

    def code(weights: list[int], index: int) -> None:
        nonlocal low, span, words
        scale = span // 2**24
        low, span = low + scale * sum(weights[:index]), scale * weights[index]
        if span < 2**32:
            low, span, words = low * 2**32, span * 2**32, words + 1

    escaped = []
    for channel, symbols in zip(vector["channels"], vector["symbols"], strict=True):
        code([2**24 - channel["zero_weight"], channel["zero_weight"]], int(not any(symbols)))
    for channel, symbols in zip(vector["channels"], vector["symbols"], strict=True):
        for symbol in symbols if any(symbols) else []:
            inside = 0 <= symbol - channel["low"] <= len(channel["weights"]) - 2
            code(channel["weights"], symbol - channel["low"] if inside else len(channel["weights"]) - 1)
            escaped += [] if inside else [symbol]
    for symbol in escaped:
        zigzag = ((symbol << 1) ^ (symbol >> 31)) & 0xFFFF
        code([2**16] * 256, zigzag >> 8)
        code([2**16] * 256, zigzag & 255)
    for k in range(9):
        step = 2 ** (64 - 8 * k)
        point = -(-low // step) * step
        if point - low < span:
            break
    return point.to_bytes(8 + 4 * words, "big").rstrip(b"\0")
