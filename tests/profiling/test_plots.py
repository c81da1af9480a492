"""Plots: what they say is what the records say, anybody can read it, and it is the same bytes everywhere."""

from __future__ import annotations

import io
import itertools
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from PIL import Image

from profiling import plots, published, records
from profiling.plots import style
from profiling.plots.payloads import bins
from profiling.plots.timeline import moments
from profiling.plots.tradeoff import kilobytes
from profiling.records import STAGES, Results


@pytest.fixture
def written(monkeypatch):
    """Draws a figure as PNG; returns each text that is really drawn, with its box in pixels, and the whole box."""

    def look(figure):
        drawn = {}

        def draw(self, renderer, original=Text.draw):
            if self.get_visible() and self.get_text():
                drawn[id(self)] = (self.get_text(), self.get_window_extent(renderer))
            original(self, renderer)

        with monkeypatch.context() as patch:
            patch.setattr(Text, "draw", draw)
            picture = Image.open(io.BytesIO(plots._rendered(figure, "png")))
        return list(drawn.values()), picture.size

    return look


def said(figure):
    """All texts of a figure, as one."""
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def variations(varied):
    """Results that a layout may break on."""
    long = "a device with a very long name, $dollars$, under_scores & <angles> " * 3
    failure = records.Failure(
        "a long reason " * 20, replace(varied[0].subject, device=long, threads=None), "2000-01-01"
    )
    many = [
        replace(record, weights=f"made up {n}", device={**record.device, "name": f"device {n % 3}"}, threads=n or None)
        for n, record in enumerate(varied * 4)
    ]
    named = [
        replace(r, model="a_model_with_quite_a_long_name_c12", target="executorch", codec="context") for r in varied
    ]
    return {
        "one": Results(varied[:1]),
        "same": Results([replace(varied[0], threads=n) for n in (1, 2, None)]),
        "one value": Results([replace(varied[0], payloads=[321] * 9)]),
        "many": Results(many, [failure] * 2),
        "long": Results([replace(r, device={**r.device, "name": long, "cpu": long}) for r in varied], [failure]),
        "long names": Results(named, [failure]),
    }


def test_every_text_can_be_read_in_every_plot(varied, varied_results, written):
    for what, results in {"varied": varied_results, **variations(varied)}.items():
        for name, _, figure in plots.drawable(results):
            texts, (width, height) = written(figure)
            assert len(texts) > 5
            for text, box in texts:
                inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1
                assert inside, f"{name} of {what}: {text!r} is cut off"
            for (text, box), (other, its) in itertools.combinations(texts, 2):
                apart = min(box.x1, its.x1) - max(box.x0, its.x0) < 1.5 or min(box.y1, its.y1) - max(box.y0, its.y0) < 3
                assert apart, f"{name} of {what}: {text!r} is on {other!r}"
            assert figure.get_figwidth() in (style.COLUMN, style.PAGE)


def test_latency_bars_are_the_stages_medians(varied_results):
    told = [replace(r, doubts=["it shared its core"] * (n == 5)) for n, r in enumerate(varied_results.records)]
    varied_results = replace(varied_results, records=told)
    figure = plots.draw("latency", varied_results)
    panel, shares = figure.axes
    bars = [(bar.get_y() + bar.get_height() / 2, bar.get_width()) for bar in panel.patches]
    rows = dict(zip(panel.get_yticks(), (label.get_text() for label in panel.get_yticklabels()), strict=True))
    for row, record in enumerate(varied_results.records, 1):  # the device is row 0
        widths = [width for y, width in bars if y == pytest.approx(row)]
        assert widths == pytest.approx([record.stages[stage]["p50"] for stage in STAGES])
        lefts = [bar.get_x() for bar in panel.patches if bar.get_y() + bar.get_height() / 2 == pytest.approx(row)]
        assert lefts == pytest.approx([0, *np.cumsum(widths)[:-1]]), "end to end"
        assert rows[row] == f"{record.model} {record.subject.artifact}, 1 thread"
        total = style.shown(record.stages["total"]["p50"])
        doubtful = "†" if record.doubts else ""
        assert f"{total}{doubtful}" in [text.get_text() for text in panel.texts if text.get_position()[1] == row]
    whole = [sum(b.get_width() for b in shares.patches if round(b.get_y()) == round(y)) for y in range(1, 7)]
    assert whole == pytest.approx([100] * 6)
    text = said(figure)
    assert "ours_n0 executorch fp32, 1 thread" in rows.values() and "not measured: engine executorch" in text
    assert text.count("†") == 2 and "† doubtful: it shared its core" in text and "bench" in text
    reading = varied_results.records[0].stages["decode"]["p50"]
    assert f"+{style.shown(reading)}" in text and "not part of the total" in text


def test_latency_says_only_what_there_is(measured):
    quiet = [replace(r, samples={**r.samples, "decode": []}, doubts=[]) for r in measured]
    figure = plots.draw("latency", Results(quiet))
    assert len(figure.axes) == 1, "totals of one magnitude need no second panel"
    assert "picture" not in said(figure) and "†" not in said(figure)


def test_published_curves_are_the_published_numbers(varied_results):
    figure = plots.draw("rate-accuracy", varied_results)
    panel = figure.axes[0]
    lines = {line.get_label(): line for line in panel.get_lines()}
    theirs = {name.removeprefix("published ") for name in lines if name.startswith("published ")}
    assert theirs == {"ours_n0", "ours_n4", "ours_n8"} and panel.get_xscale() == "log"
    for model in theirs:
        line = lines[f"published {model}"]
        curve = published.CURVES[model]
        assert line.get_xdata() == pytest.approx([8 * point.payload_bytes / 224**2 for point in curve])
        assert list(line.get_ydata()) == [point.top1 for point in curve]
        assert line.get_linewidth() < lines["ours_n0 onnx fp32"].get_linewidth()
    with_task = [record for record in varied_results.records if record.task]
    assert len(lines) == len(theirs) + len(with_task)
    for record in with_task:
        line = lines[f"{record.model} {record.subject.artifact}"]
        assert (list(line.get_xdata()), list(line.get_ydata())) == ([record.bpp], [record.task["top1"]])
    text = said(figure)
    assert "measured here, on made-up\n(100 pictures)" in text
    assert "published (PCS 2022), on ImageNet val:\nother pictures, not to be compared directly" in text


def test_rates_of_one_series_are_joined_in_order_and_metrics_do_not_mix(varied):
    first = varied[0]
    rates = [
        replace(first, bpp=bpp, task={**first.task, "top1": top1}) for bpp, top1 in ((0.4, 80), (0.1, 60), (0.2, 70))
    ]
    elsewhere = replace(rates[0], device={**first.device, "name": "another"})
    other = replace(first, bpp=0.3, task={**first.task, "data": "other", "top1": 50})
    pixels = replace(first, bpp=9.0, task={"miou": 99.0, "n": 5, "data": "made-up"})
    figure = plots.draw("rate-accuracy", Results([*rates, elsewhere, other, pixels]))
    joined, alone = (line for line in figure.axes[0].get_lines() if "published" not in line.get_label())
    assert list(joined.get_xdata()) == [0.1, 0.2, 0.4] and list(joined.get_ydata()) == [60, 70, 80]
    assert list(alone.get_xdata()) == [0.3] and "on other" in said(figure)
    assert figure.axes[0].get_xlim()[1] < 9 and figure.axes[0].get_ylim()[1] < 99
    same = replace(first, task={**first.task, "n": 49_999, "broken": 1})
    assert "not to be compared" not in said(plots.draw("rate-accuracy", Results([same])))
    assert "published" not in said(plots.draw("rate-accuracy", Results([replace(first, model="another")])))
    with pytest.raises(plots.NothingToDraw, match="python -m encoders evaluate"):
        plots.draw("rate-accuracy", Results([pixels]))


def test_bubbles_are_as_large_as_encoders(varied_results):
    figure = plots.draw("tradeoff", varied_results)
    bubbles = {tuple(c.get_offsets()[0]): c.get_sizes()[0] for c in figure.axes[0].collections}
    with_task = [record for record in varied_results.records if record.task]
    scale = max(bubbles.values()) / max(record.encoder_bits for record in with_task)
    for record in with_task:
        x, y = (record.legacy_bytes["mean"] + 33) / 1024, record.task["top1"]
        assert kilobytes(record, legacy=True) == x
        (area,) = (size for at, size in bubbles.items() if at == pytest.approx((x, y)))
        assert area == pytest.approx(record.encoder_bits * scale)
    legend = {text.get_text(): line for each in figure.legends
              for text, line in zip(each.get_texts(), each.get_lines(), strict=True)}  # fmt: skip
    assert legend["encoder of 20 Mbit"].get_markersize() ** 2 == pytest.approx(20e6 * scale)
    assert "pickle included" in figure.axes[0].get_xlabel() and "made-up" in figure.axes[0].get_ylabel()


def test_one_convention_a_figure(varied):
    mixed = [replace(varied[0], legacy_bytes=None), varied[2]]
    panel = plots.draw("tradeoff", Results(mixed)).axes[0]
    assert "without SC2's pickle" in panel.get_xlabel()
    drawn = sorted(c.get_offsets()[0][0] for c in panel.collections)
    assert drawn == pytest.approx(sorted(record.payload_bytes["mean"] / 1024 for record in mixed))


def test_histograms_count_every_picture(varied_results):
    figure = plots.draw("payloads", varied_results)
    assert len(figure.axes) == len(varied_results.records)
    for panel, record in zip(figure.axes, varied_results.records, strict=True):
        assert sum(bar.get_height() for bar in panel.patches) == len(record.payloads)
        assert [line.get_xdata()[0] for line in panel.get_lines()] == [record.payload_bytes[n] for n in ("mean", "p90")]
        assert style.shown(record.payload_bytes["mean"]) in panel.get_title(loc="left")
    twice = [varied_results.records[0], replace(varied_results.records[0], device={"name": "another"})]
    assert len(plots.draw("payloads", Results(twice)).axes) == 1, "the same bytes on another machine"
    with pytest.raises(plots.NothingToDraw, match="profiling run"):
        plots.draw("payloads", Results([replace(twice[0], payloads=[])]))


@pytest.mark.parametrize("payloads", [[7], [5, 6], [0, 1000], list(range(100))])
def test_bins_hold_all_whole_numbers(payloads):
    edges = bins(payloads)
    assert edges[0] < min(payloads) and max(payloads) < edges[-1] and len(edges) <= 26
    assert not set(edges) & set(payloads) and np.ptp(np.diff(edges)) == 0


def test_encodes_stand_where_their_turns_were(varied):
    record = varied[0]
    totals = record.samples["total"]
    at = moments(record)
    assert len(at) == len(totals) == record.runs and at == sorted(at)
    ends = np.cumsum([turn["runs"] for turn in record.turns]) - 1
    assert [at[end] for end in ends] == pytest.approx([turn["seconds"] for turn in record.turns])
    assert at[1] - at[0] == pytest.approx(totals[1] / 1e3)
    (dots, median) = plots.draw("timeline", Results([record])).axes[0].get_lines()
    assert list(dots.get_ydata()) == totals and list(dots.get_xdata()) == pytest.approx(at)
    assert set(median.get_ydata()) == {record.stages["total"]["p50"]}


def test_what_no_turn_tells_is_not_drawn(varied):
    told = varied[3]
    figure = plots.draw("timeline", Results([told]))
    _, celsius, megahertz = figure.axes
    for panel, key in ((celsius, "celsius"), (megahertz, "megahertz")):
        (line,) = panel.get_lines()
        assert list(line.get_ydata()) == [turn[key] for turn in told.turns]
        assert list(line.get_xdata()) == [turn["seconds"] for turn in told.turns]
    assert megahertz.yaxis.get_ticks_position() == "right"
    cool = replace(told, turns=[{**turn, "celsius": None} for turn in told.turns])
    figure = plots.draw("timeline", Results([cool]))
    assert len(figure.axes) == 2 and "°C" not in said(figure) and "clock, MHz (left)" in said(figure)
    quiet = replace(told, turns=[{k: turn[k] for k in ("seconds", "runs")} for turn in told.turns])
    figure = plots.draw("timeline", Results([quiet]))
    assert len(figure.axes) == 1 and "temperature" not in said(figure) and "seconds" in said(figure)
    untimed = replace(told, turns=[])
    figure = plots.draw("timeline", Results([untimed]))
    assert len(figure.axes) == 1 and "encodes since the beginning" in said(figure)
    assert list(figure.axes[0].get_lines()[0].get_xdata()) == list(range(1, told.runs + 1))


def test_names_tell_records_apart(varied):
    first = varied[0]
    assert style.names([first, varied[2]]) == ["ours_n0 onnx fp32", "ours_n4 onnx fp32"]
    two = [first, replace(first, threads=None)]
    assert style.names(two) == ["ours_n0 onnx fp32, 1 thread", "ours_n0 onnx fp32, engine's threads"]
    there = replace(first, device={**first.device, "name": "there"})
    assert style.names([first, there]) == ["ours_n0 onnx fp32, on bench", "ours_n0 onnx fp32, on there"]
    rates = [replace(first, weights=f"ours_n0-lmb{n}, shipped") for n in (1, 2)]
    assert style.names(rates) == ["ours_n0 onnx fp32, lmb1", "ours_n0 onnx fp32, lmb2"]


def test_text_from_records_is_drawn_as_it_stands(varied):
    name = "$x^2$ 机\x00\ud800 <b>&amp;\n_"
    odd = Results([replace(record, device={**record.device, "name": name}) for record in varied])
    for _, _, figure in plots.drawable(odd):
        ElementTree.fromstring(plots.svg(figure))
        plots._rendered(figure, "pdf")
    assert "$x^2$ 机 <b>&amp; _" in "".join(ElementTree.fromstring(plots.svg(plots.draw("latency", odd))).itertext())


def test_colours_differ_for_colour_blind_readers():
    """Of Viénot, Brettel and Mollon's deuteranopes, in linear RGB."""
    sees = np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]])

    def seen(colour):
        linear = np.array(to_rgb(colour)) ** 2.2
        return np.clip(sees @ linear, 0, 1) ** (1 / 2.2)

    for one, other in itertools.combinations(style.COLOURS, 2):
        assert np.linalg.norm(seen(one) - seen(other)) > 0.2, f"{one} and {other}"
    assert np.linalg.norm(seen("#D62728") - seen("#2CA02C")) < 0.2, "matplotlib's own red and green would not do"


def test_series_differ_without_their_colours(varied):
    many = Results([replace(varied[0], model=f"model {n}") for n in range(30)])
    looks = list(style.looks(many).values())
    assert len(set(looks)) == 30 and len({(look.marker, look.dashes) for look in looks}) == 30
    hatches = {bar.get_hatch() for bar in plots.draw("latency", Results(varied)).axes[0].patches}
    assert len(hatches) == len(STAGES)
