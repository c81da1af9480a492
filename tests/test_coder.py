"""All coders write the same bytes, read each other's, and refuse everything else."""

from __future__ import annotations

import contextlib

import constriction
import numpy as np
import pytest

from runtime import coder as coders
from runtime.coder.native import NativeCoder
from runtime.coder.reference import ReferenceCoder
from runtime.coder.stock import ConstrictionCoder
from runtime.errors import BadBody, CorruptBody, SymbolError, SymbolsLeftOver, UnknownName
from runtime.tables import TOTAL, Tables
from tests.messages import flipped_words, random_symbols, random_tables, walk_along_zeros

ALL = [NativeCoder, ConstrictionCoder, ReferenceCoder]
THREE = Tables.build([[TOTAL // 4, TOTAL // 2, TOTAL // 4 - 1, 1]], [-1], [TOTAL // 2])
every_coder = pytest.mark.parametrize("make", ALL, ids=["native", "constriction", "reference"])


def test_native_and_constriction_agree_on_more_than_a_million_symbols():
    rng = np.random.default_rng(0)
    total = 0
    while total < 1_200_000:
        tables = random_tables(rng, int(rng.integers(1, 65)))
        native, stock = NativeCoder(tables), ConstrictionCoder(tables)
        for _ in range(3):
            symbols = random_symbols(rng, tables, int(rng.choice([1, 2, 9, 100, 784])))
            body = native.encode(symbols)
            assert body == stock.encode(symbols)
            assert np.array_equal(native.decode(body, symbols.shape[1]), symbols)
            total += symbols.size
        assert np.array_equal(stock.decode(body, symbols.shape[1]), symbols)


def test_reference_agrees_with_the_others():
    rng = np.random.default_rng(1)
    for _ in range(150):
        tables = random_tables(rng, int(rng.integers(1, 9)))
        symbols = random_symbols(rng, tables, int(rng.integers(1, 60)))
        bodies = {make(tables).encode(symbols) for make in ALL}
        assert len(bodies) == 1
        assert np.array_equal(ReferenceCoder(tables).decode(bodies.pop(), symbols.shape[1]), symbols)


def test_carries_ripple_through_many_words():
    """Walk along a number whose words are all zero: the interval straddles it, and the last symbol decides the side."""
    rng = np.random.default_rng(0)
    longest = 0
    for _ in range(40):
        tables = random_tables(rng, 1)
        bins = walk_along_zeros(tables, int(rng.integers(1, 128)), int(rng.integers(20, 600)))
        last = int(tables.bins[0]) - 2
        for end in range(last + 1) if last < 8 else rng.integers(0, last + 1, 8):
            bins[-1] = end
            symbols = (bins + tables.low[0]).reshape(1, -1).astype(np.int32)
            if not symbols.any():
                continue
            longest = max(longest, flipped_words(tables, bins.tolist()))
            bodies = [make(tables).encode(symbols) for make in ALL]
            assert bodies[0] == bodies[1] == bodies[2]
            for make in ALL:
                assert np.array_equal(make(tables).decode(bodies[0], symbols.shape[1]), symbols)
    assert longest >= 5, "the walk met no long carry, so it proves nothing"


@every_coder
def test_stock_constriction_reads_the_body(make):
    """Zero-padded to words, the body is a stream for constriction's own decoder and plain float models."""
    rng = np.random.default_rng(5)
    tables = random_tables(rng, 3)
    symbols = random_symbols(rng, tables, 50)
    symbols[:, 0] = 1  # no channel all zero
    body = make(tables).encode(symbols)
    words = np.frombuffer(body + b"\0" * (-len(body) % 4), ">u4").astype(np.uint32)
    decoder = constriction.stream.queue.RangeDecoder(words)
    model = constriction.stream.model.Categorical
    flags = [
        decoder.decode(model(np.float32([TOTAL - w - 1, w - 1]), perfect=False)) for w in map(int, tables.zero_weight)
    ]
    assert flags == [0, 0, 0]
    for channel in range(3):
        bins = decoder.decode(model((tables.row_weights(channel) - 1).astype(np.float32), perfect=False), 50)
        inside = bins < tables.bins[channel] - 1
        assert np.array_equal((bins + tables.low[channel])[inside], symbols[channel][inside])


@every_coder
def test_shortest_string(make):
    """No shorter byte string decodes to the same symbols: dropping the last byte, or lowering it, changes them."""
    rng = np.random.default_rng(6)
    for _ in range(20):
        tables = random_tables(rng, 2)
        symbols = random_symbols(rng, tables, 20)
        body = make(tables).encode(symbols)
        assert not body.endswith(b"\0")
        if body:
            with contextlib.suppress(BadBody):
                assert not np.array_equal(make(tables).decode(body[:-1], 20), symbols)


@every_coder
@pytest.mark.parametrize(
    "symbols",
    [
        np.zeros((1, 784)),
        np.ones((1, 1)),
        np.full((1, 1), -1),
        np.full((1, 3), 0x7FFF),
        np.full((1, 3), -0x8000),
        np.tile([-0x8000, 0x7FFF, 2, -2, 0], 40)[None],
        np.eye(1, 784),
    ],
    ids=["empty", "single", "edge", "highest", "lowest", "all escaped", "one alive"],
)
def test_edges(make, symbols):
    symbols = symbols.astype(np.int32)
    body = make(THREE).encode(symbols)
    assert body == ReferenceCoder(THREE).encode(symbols)
    assert np.array_equal(make(THREE).decode(body, symbols.shape[1]), symbols)


@every_coder
def test_dead_channels_cost_next_to_nothing(make):
    tables = Tables.build([[TOTAL - 3, 1, 1, 1]] * 64, [-1] * 64, [TOTAL - TOTAL // 256] * 64)
    symbols = np.zeros((64, 784), np.int32)
    assert len(make(tables).encode(symbols)) <= 1


@every_coder
@pytest.mark.parametrize("value", [0x8000, -0x8001, 2**31 - 1, -(2**31)])
def test_values_beyond_16_bits_are_refused(make, value):
    symbols = np.zeros((1, 4), np.int32)
    symbols[0, 2] = value
    with pytest.raises(SymbolError, match="16 bits"):
        make(THREE).encode(symbols)


@every_coder
def test_every_other_string_is_refused(make):
    rng = np.random.default_rng(7)
    tables = random_tables(rng, 4)
    symbols = random_symbols(rng, tables, 30)
    symbols[:, 3] = 1
    coder = make(tables)
    body = coder.encode(symbols)
    for tail in (b"\0", b"\1", b"\0" * 9, b"abcdefghijk"):
        with pytest.raises(SymbolsLeftOver):
            coder.decode(body + tail, 30)
    for position in range(0, len(body)):
        changed = bytearray(body)
        changed[position] ^= 1 << int(rng.integers(8))
        try:
            other = coder.decode(bytes(changed), 30)
        except BadBody:
            continue
        assert coder.encode(other) == changed  # another message's own body: the checksum's business


def test_all_coders_accept_and_refuse_the_same():
    rng = np.random.default_rng(8)
    outcomes: dict[bool, int] = {True: 0, False: 0}
    for _ in range(400):
        tables = random_tables(rng, int(rng.integers(1, 4)))
        body = rng.integers(0, 256, int(rng.integers(0, 12)), dtype=np.uint8).tobytes()
        results = []
        for make in ALL:
            try:
                results.append(make(tables).decode(body, 4).tobytes())
            except BadBody:
                results.append(None)
        assert results[0] == results[1] == results[2]
        outcomes[results[0] is not None] += 1
    assert min(outcomes.values()) > 10


@every_coder
def test_rules_no_sender_breaks(make):
    """A live channel of zeros and an escape for a value that has a bin decode arithmetically, and are refused."""
    weights = [TOTAL // 4] * 4
    tables = Tables.build([weights], [-1], [TOTAL // 2])
    zeros_coded = _handmade([(TOTAL // 2, 0)] + [(TOTAL // 4, 1)] * 2)
    escaped_one = _handmade([(TOTAL // 2, 0)] + [(TOTAL // 4, 3)] * 2 + [(1 << 16, 0), (1 << 16, 2)] * 2)
    for body in (zeros_coded, escaped_one):
        with pytest.raises(CorruptBody):
            make(tables).decode(body, 2)


def _handmade(steps: list[tuple[int, int]]) -> bytes:
    """A body of equally wide bins, written as a big fraction: (width, bin) for each step."""
    low, span = 0, (1 << 64) - 1
    words = 0
    for width, index in steps:
        scale = span >> 24
        low, span = low + scale * width * index, scale * width
        if span < 1 << 32:
            low, span, words = low << 32, span << 32, words + 1
    for size in range(0, 65, 8):
        step = 1 << (64 - size)
        point = -(-low // step) * step
        if point - low < span:
            return point.to_bytes(8 + 4 * words, "big").rstrip(b"\0")
    raise AssertionError


def test_choice_of_coder():
    assert coders.available() == ["native", "constriction", "reference"]
    assert coders.make(None, THREE)[0] == "native"
    assert isinstance(coders.make("constriction", THREE)[1], ConstrictionCoder)
    with pytest.raises(UnknownName, match="did you mean 'native'"):
        coders.make("natve", THREE)
