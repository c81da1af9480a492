"""The conformance vectors: read here as another language would read them, reproduced by every coder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from runtime import coder as coders
from runtime.payload import Limits, Payload, pack, unpack
from runtime.tables import Tables
from tests.messages import flipped_words

VECTORS = json.loads((Path(__file__).parent / "plain.json").read_text())["vectors"]


def _tables(vector: dict) -> Tables:
    channels = vector["channels"]
    medians = np.frombuffer(bytes.fromhex("".join(c["median_float32_hex"] for c in channels)), ">f4")
    return Tables.build(
        [c["weights"] for c in channels],
        [c["low"] for c in channels],
        [c["zero_weight"] for c in channels],
        medians.astype(np.float32),
    )


@pytest.mark.parametrize("name", VECTORS)
@pytest.mark.parametrize("coder", coders.CODERS)
def test_vector(name, coder):
    vector = VECTORS[name]
    tables = _tables(vector)
    assert tables.sha256 == vector["tables_sha256"]
    body, symbols, grid = (
        bytes.fromhex(vector["body_hex"]),
        np.array(vector["symbols"], np.int32),
        tuple(vector["grid"]),
    )
    _, made = coders.make(coder, tables)
    assert made.encode(symbols) == body
    assert np.array_equal(made.decode(body, grid[0] * grid[1]), symbols)
    for key, written in (("payload_hex", None), ("payload_with_grid_hex", grid)):
        payload = bytes.fromhex(vector[key])
        assert pack(Payload(tables.id, body, grid=written)) == payload
        assert unpack(payload, [tables.id], Limits((99, 99), 10**6)).body == body


def test_vectors_cover_what_goes_wrong():
    symbols = np.concatenate([np.ravel(v["symbols"]) for v in VECTORS.values()])
    assert symbols.max() == 0x7FFF and symbols.min() == -0x8000
    assert any(not v["body_hex"] or len(v["body_hex"]) <= 2 for v in VECTORS.values())
    assert max(len(c["weights"]) for v in VECTORS.values() for c in v["channels"]) > 256
    carrying = VECTORS["words that carry"]
    tables = _tables(carrying)
    assert flipped_words(tables, (np.ravel(carrying["symbols"]) - tables.low[0]).tolist()) >= 3
