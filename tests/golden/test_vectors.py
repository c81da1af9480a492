"""The conformance vectors: read here as another language would read them, reproduced by every coder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runtime import codecs
from runtime import coder as coders
from runtime.codecs import Message
from runtime.contexts import Contexts
from runtime.hyper import Hyper
from runtime.payload import FLAG_PLAIN, Limits, Payload, pack, unpack
from runtime.tables import Tables
from tests.messages import flipped_words

VECTORS, CONTEXT_VECTORS = (
    json.loads((Path(__file__).parent / f"{name}.json").read_text())["vectors"] for name in ("plain", "context")
)
HYPER_VECTORS, AFFINE_VECTORS = (
    json.loads((Path(__file__).parent / f"{name}.json").read_text())["vectors"] for name in ("hyper", "affine")
)


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


def _with_contexts(vector: dict) -> Tables:
    each = [channel["context"] for channel in vector["channels"]]

    def stacked(name: str, dtype: type) -> np.ndarray:
        return np.array([own[name] for own in each], dtype).reshape(len(each), -1)

    contexts = Contexts(
        np.array([own["modelled"] for own in each], np.uint8),
        stacked("activity", np.int8),
        stacked("direction", np.int8),
        stacked("activity_steps", np.int16),
        stacked("direction_steps", np.int16),
        np.concatenate([np.ravel(own["weights"]) for own in each]).astype(np.uint32),
    )
    return replace(_tables(vector), contexts=contexts)


@pytest.mark.parametrize("name", CONTEXT_VECTORS)
@pytest.mark.parametrize("coder", coders.CODERS)
def test_context_vector(name, coder):
    vector = CONTEXT_VECTORS[name]
    tables = _with_contexts(vector)
    assert tables.sha256 == vector["tables_sha256"]
    symbols = np.array(vector["symbols"], np.int32)
    body, plain = bytes.fromhex(vector["body_hex"]), bytes.fromhex(vector["plain_body_hex"])
    _, made = coders.make_context(coder, tables)
    assert made.encode(symbols)[0] == body and np.array_equal(made.decode(body, symbols.shape[1:]), symbols)
    codec = codecs.make("context", tables, coder)
    coded = codec.encode(Message(symbols))
    assert coded == ((plain, True) if len(plain) < len(body) else (body, False))
    payload = pack(Payload(tables.id, coded.body, plain=coded.plain))
    assert payload == bytes.fromhex(vector["payload_hex"])
    parts = unpack(payload, [tables.id], Limits((99, 99), 10**6), context=True)
    assert np.array_equal(codec.decode(parts.body, symbols.shape[1:], parts.plain).symbols, symbols)


def test_context_vectors_cover_what_goes_wrong():
    flags = {bytes.fromhex(vector["payload_hex"])[3] for vector in CONTEXT_VECTORS.values()}
    assert flags == {0, FLAG_PLAIN}
    modelled = {channel["context"]["modelled"] for v in CONTEXT_VECTORS.values() for channel in v["channels"]}
    assert modelled == {0, 1}
    symbols = np.concatenate([np.ravel(v["symbols"]) for v in CONTEXT_VECTORS.values()])
    assert symbols.max() == 0x7FFF and symbols.min() == -0x8000


def test_vectors_cover_what_goes_wrong():
    symbols = np.concatenate([np.ravel(v["symbols"]) for v in VECTORS.values()])
    assert symbols.max() == 0x7FFF and symbols.min() == -0x8000
    assert any(not v["body_hex"] or len(v["body_hex"]) <= 2 for v in VECTORS.values())
    assert max(len(c["weights"]) for v in VECTORS.values() for c in v["channels"]) > 256
    carrying = VECTORS["words that carry"]
    tables = _tables(carrying)
    assert flipped_words(tables, (np.ravel(carrying["symbols"]) - tables.low[0]).tolist()) >= 3


@pytest.mark.parametrize("name", HYPER_VECTORS)
@pytest.mark.parametrize("coder", coders.CODERS)
def test_hyper_vector(name, coder):
    vector = HYPER_VECTORS[name]
    arrays = {
        name: np.array(stored["values"], stored["type"]).reshape(stored["shape"])
        for name, stored in vector["hyper"].items()
    }
    tables = replace(_tables(vector), hyper=Hyper.from_arrays(arrays))
    assert tables.sha256 == vector["tables_sha256"]
    message = Message(np.array(vector["symbols"], np.int32), np.array(vector["hyper_symbols"], np.int32))
    rows, means = tables.hyper.synthesise(message.side)
    assert rows.tolist() == vector["rows"] and (65536 * means.astype(float)).tolist() == vector["means_times_65536"]
    codec = codecs.make("hyperprior", tables, coder)
    body = bytes.fromhex(vector["body_hex"])
    assert codec.encode(message) == (body, False)
    read = codec.decode(body, message.symbols.shape[1:])
    assert np.array_equal(read.symbols, message.symbols) and np.array_equal(read.side, message.side)
    assert pack(Payload(tables.id, body)) == bytes.fromhex(vector["payload_hex"])


@pytest.mark.parametrize("name", AFFINE_VECTORS)
@pytest.mark.parametrize("coder", coders.CODERS)
def test_affine_vector(name, coder):
    vector = AFFINE_VECTORS[name]
    tables = _with_contexts(vector) if "context" in vector["channels"][0] else _tables(vector)
    assert tables.sha256 == vector["tables_sha256"]
    side = np.array([vector["scale_float32_bits"], vector["zero_point"]], np.int32)
    message = Message(np.array(vector["symbols"], np.int32), side)
    codec, body = codecs.make("affine", tables, coder), bytes.fromhex(vector["body_hex"])
    assert codec.encode(message) == (body, False)
    read = codec.decode(body, message.symbols.shape[1:])
    assert np.array_equal(read.symbols, message.symbols) and np.array_equal(read.side, side)


def test_vectors_of_both_cover_what_goes_wrong():
    rows = np.concatenate([np.ravel(vector["rows"]) for vector in HYPER_VECTORS.values()])
    assert set(rows.tolist()) == {0, 1, 2, 3}
    symbols = np.concatenate([np.ravel(vector["symbols"]) for vector in HYPER_VECTORS.values()])
    assert symbols.max() == 0x7FFF and symbols.min() == -0x8000
    assert {bytes.fromhex(vector["body_hex"])[0] for vector in AFFINE_VECTORS.values()} >= {0, 1}
