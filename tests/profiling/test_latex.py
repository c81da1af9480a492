"""The LaTeX table, set by a real pdfLaTeX."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from profiling import reports
from profiling.records import Failure, Record, Results
from profiling.reports import latex

needs_latex = pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex is not installed")
#: What TeX would read, what OT1 has in other places, what breaks rows, and what pdfLaTeX has no glyph for.
NASTY = 'A_B & 100% #1 {x} ~^\\ <>"|`--*[1] µé中ñÅßŁ\u2013“\u00d7°\u202e\x01\ud800\n\\input{/etc/passwd} $x$ %'


def _set(folder: Path, *tables: str) -> tuple[str, str]:
    """The log, and the text of the PDF where pdftotext is installed."""
    body = "\n".join(f"\\begin{{table*}}\n\\centering\n{table}\n\\end{{table*}}" for table in tables)
    (folder / "paper.tex").write_text(
        "\\documentclass[twocolumn]{article}\n\\usepackage{booktabs}\n\\begin{document}\nText.\n"
        f"{body}\n\\end{{document}}\n",
        encoding="ascii",
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120)
    log = (folder / "paper.log").read_text(errors="replace")
    assert done.returncode == 0, log[-2000:]
    if not shutil.which("pdftotext"):
        return log, ""
    text = subprocess.run(["pdftotext", "-layout", "paper.pdf", "-"], cwd=folder, capture_output=True, check=True)
    return log, text.stdout.decode()


def _complaints(log: str) -> list[str]:
    return re.findall(r"^(?:!|Overfull|LaTeX (?:Font )?Warning|Missing character).*", log, re.MULTILINE)


def _widest(records: list[Record]) -> list[Record]:
    """Longer names and numbers than any model here has, on machines of their own."""
    made = [replace(r, model="entropic_student_resnet50", codec="context", encoder_bits=338_852_608) for r in records]
    return [replace(r, target="openvino", threads=n, doubts=["made up"]) for n, r in enumerate(made, 1)]


def test_latex_escapes_what_tex_would_read(measured):
    text = reports.render("latex", Results(measured))
    assert r"ours\_n0 & onnx fp32" in text and r"\toprule" in text and "top-1" not in text
    columns = text.split("{tabular}{")[1].split("}")[0]
    body = [line for line in text.splitlines() if line.endswith(r"\\") and "&" in line]
    assert all(line.count("&") == len(columns) - 1 for line in body) and set(columns) == {"l", "r"}
    assert not re.search(r"(?<!\\)[_%#]", text.partition("\n")[2])


def test_latex_is_ascii_and_says_what_has_no_glyph():
    assert latex.escaped("µé中Å") == r"$\mu$\'{e}\texttt{<U+4E2D>}\r{A}"
    assert latex.escaped("a\u0301\n b") == r"\'{a} b", "however the letter was written"
    assert latex.escaped(NASTY).isascii() and r"\textbackslash{}input\{/etc/passwd\}" in latex.escaped(NASTY)


@needs_latex
def test_latex_sets_records_failures_and_doubts(varied_results, tmp_path):
    table = reports.render("latex", varied_results)
    log, text = _set(tmp_path, table)
    assert _complaints(log) == []
    assert r"\multicolumn" in table and table.count(r"\rlap{$^\dagger$}") == len(
        [record for record in varied_results.records if record.doubts]
    )
    if text:
        assert "not measured" in text and "top-1" in text and "engine executorch is not installed" in text
        assert "ours_n8" in text.replace("ours n8", "ours_n8") and "19,953,664" in text


@needs_latex
def test_latex_sets_whatever_a_machine_is_called(varied, tmp_path):
    nasty = [
        replace(r, device={**r.device, "name": f"{NASTY}{n % 2}"}, model=("[a]", "*", NASTY[:9])[n % 3], doubts=[NASTY])
        for n, r in enumerate(varied)
    ]
    failure = Failure(NASTY, replace(nasty[0].subject, model="[b]*"), "2000-01-01")
    tables = [Results(nasty, [failure]), Results([], [failure]), Results(nasty[:1])]
    log, text = _set(tmp_path, *(reports.render("latex", results) for results in tables))
    assert _complaints(log) == []
    if text:
        assert "<U+4E2D>" in text and "<U+D800>" in text and "100% #1 {x}" in text and "root:" not in text


@needs_latex
def test_latex_leaves_out_what_has_no_room(varied, tmp_path, monkeypatch):
    wide = Results(_widest(varied), [Failure("made up", _widest(varied)[0].subject, "2000-01-01")])
    table = reports.render("latex", wide)
    assert "no room for legacy B, wire B, p90 ms" in table.splitlines()[0] and "latency" in table
    log, _ = _set(tmp_path, table)
    assert _complaints(log) == []
    monkeypatch.setattr(latex, "_FIRST_TO_GO", ())
    log, _ = _set(tmp_path, reports.render("latex", wide))
    assert any(line.startswith("Overfull") for line in _complaints(log)), "then this test would see it"


def test_latex_leaves_nothing_out_without_need(measured):
    few = Results([replace(measured[0], legacy_bytes=None)])
    assert "no room" not in reports.render("latex", few)
