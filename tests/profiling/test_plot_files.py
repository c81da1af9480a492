"""The files that plots are written to, and the command that writes them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from profiling import plots, records
from profiling.commands import main
from profiling.records import Results
from runtime.errors import UnknownName, UsageError
from tests.conftest import ROOT


def test_files_are_what_they_are_called(varied_results, tmp_path):
    figure = plots.draw("payloads", varied_results)
    for kind in ("pdf", "svg", "png"):
        plots.write(figure, tmp_path / f"p.{kind}")
    pdf = (tmp_path / "p.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-") and b"/FontFile2" in pdf and b"/Type3" not in pdf and b"Date" not in pdf
    with Image.open(tmp_path / "p.png") as picture:
        assert picture.size[0] == 7 * 200 and not picture.text
        assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    ElementTree.parse(tmp_path / "p.svg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.pdf", "p.png", "p.svg"]
    with pytest.raises(UsageError, match="one of: pdf, png, svg"):
        plots.write(figure, tmp_path / "p.gif")


def test_svg_fits_into_a_page_beside_others(varied_results):
    texts = [plots.svg(figure) for _, _, figure in plots.drawable(varied_results)]
    assert len(texts) == len(plots.PLOTS)
    ids = [found for text in texts for found in re.findall(r'\bid="([^"]*)"', text)]
    assert ids and len(ids) == len(set(ids))
    for text in texts:
        assert text.startswith("<svg ") and text.endswith("</svg>") and "max-width: 100%" in text
        assert not {"<?xml", "<!DOCTYPE", "<metadata", "<style"} & set(re.findall(r"<[?!]?\w+", text))
        root = ElementTree.fromstring(text)
        used = set(re.findall(r'(?:url\(#|href="#)([^)"]*)', text))
        assert used and used <= {element.get("id") for element in root.iter()}
        words = list(root.iter("{http://www.w3.org/2000/svg}text"))
        assert words and all("sans-serif" in word.get("style") for word in words)


def test_only_what_there_is_gets_drawn(measured):
    assert [name for name, *_ in plots.drawable(Results(measured))] == ["latency", "payloads", "timeline"]
    failure = records.Failure("made up", measured[0].subject, "2000-01-01")
    assert plots.drawable(Results([], [failure])) == []
    with pytest.raises(UnknownName, match="did you mean 'latency'"):
        plots.draw("latencies", Results(measured))


def test_command_writes_what_can_be_drawn(results, tmp_path, capsys):
    assert main(["plot", str(results), "-o", str(tmp_path / "plots")]) == 0
    out, err = capsys.readouterr()
    names = ("latency", "payloads", "timeline")
    listed = [str(tmp_path / "plots" / f"{name}.{kind}") for name in names for kind in ("pdf", "svg", "png")]
    assert out.splitlines() == listed and all(Path(path).stat().st_size > 1000 for path in listed)
    notes = [line for line in err.splitlines() if "not drawn" in line]
    assert len(notes) == 2 and "rate-accuracy not drawn: no record has a top-1 accuracy" in notes[0]
    assert main(["plot", str(results), "-o", str(tmp_path / "two"), "--kind", "latency", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [Path(path).name for path in report["written"]] == ["latency.pdf", "latency.svg", "latency.png"]
    assert len(list((tmp_path / "two").iterdir())) == 3


def test_command_leaves_earlier_runs_out_and_says_so(measured, tmp_path, capsys):
    later = replace(measured[0], date="2999-01-01T00:00:00+00:00")
    records.write(tmp_path / "a.jsonl", [measured[0]])
    records.write(tmp_path / "b.jsonl", [later])
    assert main(["plot", *(str(tmp_path / f"{n}.jsonl") for n in "ab"), "-o", str(tmp_path), "--kind", "latency"]) == 0
    assert "1 earlier run left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kind", "tradeof"], "did you mean 'tradeoff'"),
        (["--kind", "latency", "tradeoff"], "no record has a top-1 accuracy: python -m encoders evaluate"),
    ],
)
def test_bad_requests(arguments, message, results, tmp_path, capsys):
    assert main(["plot", str(results), "-o", str(tmp_path / "plots"), *arguments]) == 2
    (error,) = capsys.readouterr().err.strip().splitlines()
    assert message in error and not (tmp_path / "plots").exists()


def test_nothing_at_all_to_draw(measured, tmp_path, capsys):
    records.write(tmp_path / "a.jsonl", [records.Failure("made up", measured[0].subject, "2000-01-01")])
    assert main(["plot", str(tmp_path / "a.jsonl"), "-o", str(tmp_path / "plots")]) == 2
    assert "nothing can be drawn: " in capsys.readouterr().err and not (tmp_path / "plots").exists()


def test_without_matplotlib(measured, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=r"pip install 'splitport\[report\]'"):
        plots.draw("latency", Results(measured))


def test_the_same_bytes_whoever_draws(varied_results, tmp_path):
    records.write(tmp_path / "varied.jsonl", [*varied_results.records, *varied_results.failures])
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "matplotlibrc").write_text(
        "font.size: 30\nfont.family: monospace\nsavefig.bbox: tight\nsavefig.dpi: 30\nfigure.facecolor: red\n"
        "axes.spines.top: True\ntext.parse_math: True\nsvg.fonttype: path\npdf.fonttype: 3\nsvg.hashsalt: theirs\n"
        "axes.unicode_minus: False\nlines.linewidth: 9\nfigure.constrained_layout.use: False\nhatch.color: red\n"
    )
    hostile = {"MPLCONFIGDIR": str(tmp_path / "config"), "TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "7",
               "MPLBACKEND": "svg", "SOURCE_DATE_EPOCH": "1"}  # fmt: skip
    usual = {"MPLCONFIGDIR": str(tmp_path / "none"), "TZ": "UTC", "PYTHONHASHSEED": "1"}
    made = []
    for name, environment in (("usual", usual), ("hostile", hostile)):
        command = [
            sys.executable,
            "-m",
            "profiling",
            "plot",
            str(tmp_path / "varied.jsonl"),
            "-o",
            str(tmp_path / name),
        ]
        subprocess.run(command, env={**os.environ, **environment}, cwd=ROOT, check=True, capture_output=True)
        made.append({path.name: path.read_bytes() for path in sorted((tmp_path / name).iterdir())})
    assert len(made[0]) == 3 * len(plots.PLOTS)
    assert [name for name in made[0] if made[0][name] != made[1][name]] == []
    for name, _, figure in plots.drawable(varied_results):
        for kind in ("pdf", "svg", "png"):
            plots.write(figure, tmp_path / f"here.{kind}")
            assert (tmp_path / f"here.{kind}").read_bytes() == made[0][f"{name}.{kind}"], f"{name}.{kind}"
            plots.write(figure, tmp_path / f"here.{kind}")
            assert (tmp_path / f"here.{kind}").read_bytes() == made[0][f"{name}.{kind}"], f"{name}.{kind}, again"


def test_drawing_leaves_matplotlib_as_it_was(varied_results):
    import matplotlib

    with matplotlib.rc_context({"font.size": 17.0}):
        before = {name: matplotlib.rcParams[name] for name in matplotlib.rcParams if name != "backend"}
        plots.svg(plots.draw("latency", varied_results))
        assert {name: matplotlib.rcParams[name] for name in before} == before
    assert not [file for file in (ROOT / "profiling/plots").glob("*.py") if "pyplot" in file.read_text()]
