"""Contexts fitted to what encoders put out, and bundles that use them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from calibration import Selection, choose
from calibration.builtin import builtin
from calibration.commands import main as calibration
from calibration.contexts import fit
from calibration.refit import fitted, refit
from export import Request, export
from export.commands import main
from runtime import Bundle, Decoder, Encoder, Receiver, UnknownName, UsageError, WrongTable, codecs, selftest
from runtime.codecs import Message
from runtime.contexts import LARGEST_SUM
from tests.conftest import SHARED


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Pieces of photographs, and drawn pictures."""
    path = tmp_path_factory.mktemp("data") / "pieces.npz"
    np.savez(path, images=np.stack(builtin(36, 224).pixels))
    return Selection(str(path), 8)


def mean_bytes(kind, tables, symbols):
    codec = codecs.make(kind, tables, None)
    coded = [codec.encode(Message(each)) for each in symbols]
    for each, one in zip(symbols, coded, strict=True):
        assert np.array_equal(codec.decode(one.body, each.shape[1:], one.plain).symbols, each)
    return np.mean([len(one.body) for one in coded])


@pytest.mark.skipif(not SHARED.exists(), reason="needs the photographs in ../shared")
@pytest.mark.parametrize(
    ("model", "weights"), [("ours_n0", "lmb1.28"), ("ours_n4", "lmb40.96"), ("ours_n4", "lmb0.16")]
)
def test_real_pictures_cost_a_quarter_less_at_least(make_bundle, model, weights):
    """Fitted to 64 training pictures; measured on 60 of val."""
    encoder = Encoder.open(make_bundle(model, "onnx", weights=weights), threads=1)
    train, val = (
        [encoder.symbols(p) for p in choose(Selection(str(SHARED / "data/caltech30" / part), count), 224).pixels]
        for part, count in (("train", 64), ("val", 60))
    )
    plain = refit(encoder.bundle.tables, train)
    assert mean_bytes("context", fit(plain, train), val) < 0.75 * mean_bytes("factorized", plain, val)


def test_pieces_of_photographs_cost_less_than_with_tables_alone(make_bundle):
    encoder = Encoder.open(make_bundle("ours_n0", "onnx"), threads=1)
    symbols = [encoder.symbols(pixels) for pixels in builtin(36, 224).pixels[:18]]  # the photographs
    kind, tables = fitted("context", encoder.bundle.tables, symbols[::2])
    _, plain = fitted("plain", encoder.bundle.tables, symbols[::2])
    assert mean_bytes(kind, tables, symbols[1::2]) < 0.9 * mean_bytes("factorized", plain, symbols[1::2])
    assert tables.contexts is not None and plain.contexts is None
    assert np.array_equal(tables.weights, plain.weights)  # what the flag falls back on
    with pytest.raises(UnknownName):
        fitted("magic", plain, symbols)


def test_what_was_never_seen_stays_possible(make_bundle):
    """Values far outside all tables, in every context, in channels with and without."""
    encoder = Encoder.open(make_bundle("ours_n0", "onnx"), threads=1)
    tables = fit(encoder.bundle.tables, [encoder.symbols(pixels) for pixels in builtin(12, 224).pixels])
    rng = np.random.default_rng(1)
    odd = rng.integers(-0x8000, 0x8000, (64, 28, 28)).astype(np.int32)
    odd[::2] = rng.integers(-9, 10, (32, 28, 28))
    assert mean_bytes("context", tables, [odd, odd[:, :3, :5].copy(), odd // 5000]) > 0


def test_noise_gets_no_contexts(make_bundle):
    """Symbols that know nothing of their neighbours, and too few of them, are coded as before."""
    rng = np.random.default_rng(0)
    tables = Bundle.open(make_bundle("ours_n0", "onnx")).tables
    noise = [np.zeros((64, 28, 28), np.int32) for _ in range(8)]
    for each in noise:
        each[3] = rng.integers(-1, 2, (28, 28))
        each[5, 4, :7] = 1
    found = fit(tables, noise)
    assert found.contexts is not None and found.contexts.modelled.sum() <= 1
    assert found.contexts.modelled[5] == 0 and len(found.context_rows) == 64
    assert mean_bytes("context", found, noise) <= mean_bytes("factorized", tables, noise)


def test_fitting_is_a_function_of_the_symbols(make_bundle):
    encoder = Encoder.open(make_bundle("ours_n0", "onnx"), threads=1)
    symbols = [encoder.symbols(pixels) for pixels in builtin(12, 224).pixels]
    assert fit(encoder.bundle.tables, symbols).id == fit(encoder.bundle.tables, symbols).id
    contexts = fit(encoder.bundle.tables, symbols).contexts
    assert contexts is not None and contexts.modelled.any()
    assert all(np.abs(own.astype(int)).max() == 15 for own in contexts.activity[contexts.modelled == 1])
    used = contexts.activity_steps[contexts.modelled == 1]
    assert np.all((used <= LARGEST_SUM) | (used == 0x7FFF))


def test_bundles_with_contexts_work_end_to_end(data, make_bundle, photographs):
    """The default where pictures are given; the same on another target; read by a receiver that is given the bundle."""
    bundle = Bundle.open(make_bundle("ours_n0", "onnx", calibration=data))
    assert bundle.manifest.codec == "context" and bundle.manifest.calibration["fitted"] == 27
    encoder = Encoder.open(bundle.path, threads=1)
    assert selftest.run(encoder).passed
    other = Bundle.open(make_bundle("ours_n0", "tflite", calibration=data))
    assert other.manifest.codec == "context"
    payload = encoder.encode(photographs[1])
    symbols = encoder.symbols(photographs[1])
    plain = make_bundle("ours_n0", "onnx")
    both = Decoder.open(plain, tables=[bundle.path, other.path])
    for sender in (encoder, Encoder.open(other.path, threads=1), Encoder.open(plain, threads=1)):
        assert np.array_equal(both.symbols(sender.encode(photographs[1])), sender.symbols(photographs[1]))
    assert len(payload) < len(Encoder.open(plain).encode(photographs[1]))
    with pytest.raises(WrongTable):
        Decoder.open(plain).symbols(payload)
    for coder in ("native", "constriction", "reference"):
        assert np.array_equal(Decoder.open(plain, coder, tables=[bundle.path]).symbols(payload), symbols)
    receiver = Receiver.open(make_bundle("ours_n0", "onnx", side="receiver"), tables=[bundle.path])
    assert len(receiver.predict(payload).ranked) == 30


def test_int8_reports_what_contexts_save(data, make_bundle):
    bundle = Bundle.open(make_bundle("ours_n0", "onnx", "int8", calibration=data))
    found = bundle.manifest.parity
    assert bundle.manifest.codec == "context" and found["bytes_context"] < found["bytes_refit"]
    assert "payload, contexts" in (bundle.path / "README.md").read_text()
    plain = Bundle.open(make_bundle("ours_n0", "onnx", "int8", calibration=data, codec="plain"))
    assert plain.manifest.codec == "factorized" and plain.manifest.parity["bytes_context"] is None


def test_what_the_command_line_says(data, tmp_path, capsys):
    words = ["--model", "ours_n0", "--target", "onnx", "--output", str(tmp_path / "a")]
    assert main([*words, "--codec", "context"]) == 2
    assert "give pictures with --calibration" in capsys.readouterr().err
    assert main([*words, "--side", "receiver", "--codec", "context", "--calibration", data.data]) == 2
    capsys.readouterr()
    assert main([*words, "--calibration", data.data]) == 0
    out = capsys.readouterr().out
    assert "of symbols equal to PyTorch's" in out and "% less), on 9 others" in out
    assert main([*words, "--calibration", data.data, "--codec", "plain"]) == 0
    assert Bundle.open(tmp_path / "a").manifest.codec == "factorized"
    assert calibration(["refit", str(tmp_path / "a"), data.data, "-o", str(tmp_path / "b"), "--json"]) == 0
    capsys.readouterr()
    assert calibration(["refit", str(tmp_path / "b"), data.data, "-o", str(tmp_path / "c"), "--codec", "plain"]) == 0
    assert "plain tables fitted to 27 pictures" in capsys.readouterr().out
    kinds = [Bundle.open(tmp_path / name).manifest.codec for name in "abc"]
    assert kinds == ["factorized", "context", "factorized"]
    assert all(selftest.run(Encoder.open(tmp_path / name)).passed for name in "abc")


def test_few_pictures_are_too_few_only_for_those_who_insist(tmp_path):
    pair = tmp_path / "pair.npz"
    np.savez(pair, images=np.stack(builtin(2, 224).pixels))
    request = Request("ours_n0", "onnx", calibration=Selection(str(pair)), output=tmp_path / "a")
    made = export(request)
    assert made.manifest.codec == "factorized" and "contexts need at least 4" in made.notes[0]
    with pytest.raises(UsageError, match="contexts need at least 4"):
        export(Request("ours_n0", "onnx", calibration=Selection(str(pair)), codec="context", output=tmp_path / "b"))
    assert not (tmp_path / "b").exists()


def test_inspect_tells_of_contexts(data, make_bundle, photographs, tmp_path, capsys):
    from runtime.commands import main as runtime

    bundle = make_bundle("ours_n0", "onnx", calibration=data)
    (tmp_path / "p.spl").write_bytes(Encoder.open(bundle).encode(photographs[0]))
    assert runtime(["inspect", str(tmp_path / "p.spl"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["plain_tables_flag"] is False
