"""Tables fitted to symbols: cheaper for what comes, possible for what does not, and whole as bundles."""

from __future__ import annotations

import json

import numpy as np
import pytest

from calibration.builtin import builtin
from calibration.commands import main
from calibration.refit import refit
from runtime import Bundle, Decoder, Encoder, Tables, WrongTable, codecs, selftest
from runtime.codecs import Message
from runtime.tables import TOTAL, integer_weights


@pytest.fixture(scope="module")
def prior():
    """Three channels that believe in wide, flat symbols."""
    rows = [integer_weights(np.ones(12)) for _ in range(3)]
    return Tables.build(rows, [-5] * 3, [TOTAL // 2] * 3, [0.25, -1.0, 0.0])


def pictures(count: int, seed: int) -> list[np.ndarray]:
    """Channel 0 is narrow, channel 1 silent, channel 2 alive in every second picture, with an escape now and then."""
    rng = np.random.default_rng(seed)
    made = []
    for index in range(count):
        symbols = np.zeros((3, 8, 8), np.int32)
        symbols[0] = rng.integers(-1, 2, (8, 8))
        if index % 2:
            symbols[2] = rng.poisson(1.5, (8, 8))
            symbols[2, 0, 0] = 40
        made.append(symbols)
    return made


def size(tables: Tables, symbols: list[np.ndarray]) -> float:
    codec = codecs.make("factorized", tables, None)
    for each in symbols:
        assert np.array_equal(codec.decode(codec.encode(Message(each)).body, (8, 8)).symbols, each)
    return float(np.mean([len(codec.encode(Message(each)).body) for each in symbols]))


def test_other_pictures_of_the_kind_cost_less(prior):
    fitted = refit(prior, pictures(16, seed=1))
    before, after = (size(tables, pictures(40, seed=2)) for tables in (prior, fitted))
    assert after < 0.75 * before
    assert np.array_equal(fitted.low, prior.low) and np.array_equal(fitted.medians, prior.medians)
    assert np.array_equal(fitted.bins, prior.bins) and fitted.id != prior.id
    share = fitted.row_weights(0)[4:7] / TOTAL
    assert share.sum() > 0.95 and share.min() > 0.25
    assert fitted.zero_weight[1] > 0.9 * TOTAL and 0.3 * TOTAL < fitted.zero_weight[2] < 0.7 * TOTAL


def test_what_was_never_seen_stays_possible(prior):
    fitted = refit(prior, pictures(16, seed=1))
    rare = np.zeros((3, 8, 8), np.int32)
    rare[0], rare[1], rare[2] = 5, -5, 3000
    assert size(fitted, [rare]) > 0
    assert np.array_equal(fitted.row_weights(1), prior.row_weights(1)), "a silent channel keeps the prior"


def test_little_data_moves_tables_little_and_none_not_at_all(prior):
    silent = [np.zeros((3, 8, 8), np.int32)]
    assert np.array_equal(refit(prior, silent).weights, prior.weights)
    one = refit(prior, pictures(1, seed=3))
    assert size(one, pictures(40, seed=2)) < 1.1 * size(prior, pictures(40, seed=2))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "pieces.npz"
    np.savez(path, images=np.stack(builtin(24, 224).pixels))
    return path


def test_command_writes_a_whole_bundle(make_bundle, data, tmp_path, capsys, pixels):
    source = make_bundle("ours_n0", "onnx")
    assert main(["refit", str(source), str(data), "-o", str(tmp_path / "fitted"), "--count", "16", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    fitted = Bundle.open(tmp_path / "fitted")
    assert told["fitted"] == 16 and told["checked"] == 8 and told["table_id"] == fitted.tables.id.hex()
    assert fitted.manifest.calibration["tables"]["count"] == 16
    assert selftest.run(Encoder.open(fitted.path)).passed
    first, second = Encoder.open(source), Encoder.open(fitted.path)
    assert np.array_equal(first.symbols(pixels[0]), second.symbols(pixels[0])), "the graph is the same"
    with pytest.raises(WrongTable):
        Decoder.open(source).symbols(second.encode(pixels[0]))
    understood = Decoder.open(source, tables=[fitted.path]).symbols(second.encode(pixels[0]))
    assert np.array_equal(understood, first.symbols(pixels[0]))
    assert "table id" in (fitted.path / "README.md").read_text()


def test_command_refuses_without_leaving_anything(make_bundle, data, tmp_path, capsys):
    source = make_bundle("ours_n0", "onnx")
    np.savez(tmp_path / "few.npz", images=np.stack(builtin(3, 64).pixels))
    before = sorted(tmp_path.iterdir())
    cases = [
        ([source, data, "-o", source], 2, "would replace the bundle"),
        ([source, tmp_path / "few.npz", "-o", tmp_path / "out"], 2, "fitting needs at least 4"),
        ([source, tmp_path / "none.npz", "-o", tmp_path / "out"], 2, "is not a file"),
        ([data, data, "-o", tmp_path / "out"], 1, "is not a bundle"),
        ([make_bundle("ours_n0", "onnx", side="receiver"), data, "-o", tmp_path / "out"], 1, "needs an encoder bundle"),
    ]
    for words, code, message in cases:
        assert main(["refit", *map(str, words)]) == code
        error = capsys.readouterr().err.strip().splitlines()
        assert len(error) == 1 and message in error[0]
    assert sorted(tmp_path.iterdir()) == before and Bundle.open(source)
