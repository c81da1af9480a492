"""The context codec: all coders write the same bytes, read each other's, and refuse everything else."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np
import pytest

from runtime import codecs
from runtime import coder as coders
from runtime.codecs import Message
from runtime.coder.native_context import NativeContextCoder
from runtime.coder.reference import ReferenceContextCoder
from runtime.coder.stock import ConstrictionContextCoder
from runtime.contexts import LARGEST_SUM, NEIGHBOURS, Contexts
from runtime.errors import BadBody, CorruptBody, SymbolError, SymbolsLeftOver, TablesError, UnsupportedFlags
from runtime.payload import FLAG_PLAIN, Limits, Payload, pack, unpack
from runtime.tables import TOTAL, Tables, integer_weights
from tests.messages import random_contexts, random_symbols, random_tables

ALL = [NativeContextCoder, ConstrictionContextCoder, ReferenceContextCoder]
every_coder = pytest.mark.parametrize("make", ALL, ids=["native", "constriction", "reference"])


def random_case(rng: np.random.Generator, most_channels: int = 6, most_side: int = 9) -> tuple[Tables, np.ndarray]:
    tables = random_contexts(rng, random_tables(rng, int(rng.integers(1, most_channels))))
    grid = tuple(rng.integers(1, most_side, 2).tolist())
    return tables, random_symbols(rng, tables, grid[0] * grid[1]).reshape(tables.channels, *grid)


def test_all_coders_agree():
    rng = np.random.default_rng(0)
    total = escapes = 0
    while total < 20_000:
        tables, symbols = random_case(rng)
        bodies = {make(tables).encode(symbols)[0] for make in ALL}
        assert len(bodies) == 1
        body = bodies.pop()
        for make in ALL:
            assert np.array_equal(make(tables).decode(body, symbols.shape[1:]), symbols)
        total += symbols.size
        escapes += int((np.abs(symbols) > 3000).sum())
    assert escapes > 100


def test_native_reads_a_million_symbols_of_its_own_and_constrictions():
    rng = np.random.default_rng(1)
    total = 0
    for turn in range(200):
        tables, symbols = random_case(rng, 40, 40)
        native = NativeContextCoder(tables)
        body, _ = native.encode(symbols)
        assert np.array_equal(native.decode(body, symbols.shape[1:]), symbols)
        if turn % 20 == 0:
            assert ConstrictionContextCoder(tables).encode(symbols)[0] == body
        total += symbols.size
    assert total > 1_000_000


def _like(neighbour: tuple[int, int]) -> Tables:
    """Tables that expect each symbol to equal one of its neighbours, which contexts of its sign can tell."""
    weights = np.array([[int(n == neighbour) for n in NEIGHBOURS]], np.int8)
    rows = [integer_weights(row) for row in ([98, 1, 1, 1e-3], [1, 98, 1, 1e-3], [1, 1, 98, 1e-3])]
    none = np.zeros((1, 0), np.int16)
    contexts = Contexts(
        np.ones(1, np.uint8), weights, weights, none, np.array([[0, 1]], np.int16), np.concatenate(rows)
    )
    plain = Tables.build([integer_weights([1, 1, 1, 1e-3])], [-1], [TOTAL // 2])
    return replace(plain, contexts=contexts)


@every_coder
@pytest.mark.parametrize("neighbour", NEIGHBOURS)
def test_each_neighbour_is_the_one_that_the_rule_names(make, neighbour):
    """A field that repeats itself along one neighbour's direction costs little with that neighbour, much without."""
    rng = np.random.default_rng(2)
    dy, dx = neighbour
    symbols = rng.integers(-1, 2, (1, 12, 14)).astype(np.int32)
    for y in range(12):
        for x in range(14):
            if y + dy >= 0 and 0 <= x + dx < 14:
                symbols[0, y, x] = symbols[0, y + dy, x + dx]
    sizes = {other: len(make(_like(other)).encode(symbols)[0]) for other in NEIGHBOURS}
    assert min(sizes, key=sizes.__getitem__) == neighbour and sizes[neighbour] < 0.6 * sorted(sizes.values())[1]


def test_contexts_of_one_symbol_are_those_of_the_plane():
    rng = np.random.default_rng(3)
    for _ in range(20):
        tables, symbols = random_case(rng)
        for channel in range(tables.channels):
            plane = tables.contexts.of(channel, symbols[channel])
            single = [tables.contexts.at(channel, symbols[channel], y, x) for y, x in np.ndindex(plane.shape)]
            assert plane.ravel().tolist() == single and plane.max() < tables.contexts.count


@every_coder
def test_damaged_bodies_give_an_error_or_a_canonical_latent(make):
    rng = np.random.default_rng(4)
    outcomes = {True: 0, False: 0}
    for _ in range(60):
        tables, symbols = random_case(rng, 4, 6)
        coder = make(tables)
        body = bytearray(coder.encode(symbols)[0])
        if not body:
            continue
        for _ in range(4):
            damaged = bytes(body)
            at = int(rng.integers(len(body)))
            damaged = damaged[:at] + bytes([damaged[at] ^ int(rng.integers(1, 256))]) + damaged[at + 1 :]
            try:
                read = coder.decode(damaged, symbols.shape[1:])
            except BadBody:
                outcomes[False] += 1
            else:
                assert coder.encode(read)[0] == damaged
                outcomes[True] += 1
    assert outcomes[False] > 20


def test_coders_refuse_the_same_bodies():
    rng = np.random.default_rng(5)
    for _ in range(40):
        tables, symbols = random_case(rng, 3, 5)
        coded = [make(tables) for make in ALL]
        body = rng.integers(0, 256, int(rng.integers(0, 30))).astype(np.uint8).tobytes()
        results = []
        for coder in coded:
            try:
                results.append(coder.decode(body, symbols.shape[1:]).tobytes())
            except (CorruptBody, SymbolsLeftOver):
                results.append(None)
        assert results[0] == results[1] == results[2]


@every_coder
def test_more_than_is_needed_is_refused(make):
    rng = np.random.default_rng(6)
    tables, symbols = random_case(rng)
    coder = make(tables)
    body, _ = coder.encode(symbols)
    for longer in (body + b"\1", body + b"\0"):
        with pytest.raises(BadBody):
            coder.decode(longer, symbols.shape[1:])
    with pytest.raises(SymbolError, match="16 bits"):
        coder.encode(symbols + 0x10000)


@pytest.mark.parametrize("coder", coders.CODERS)
def test_the_shorter_codec_is_used(coder):
    """Contexts that expect the opposite of what comes cost more than plain tables; so none are used then."""
    tables = _like((0, -1))
    codec = codecs.make("context", tables, coder)
    rng = np.random.default_rng(7)
    used = set()
    for repeat in (0.0, 0.5, 0.6, 0.7, 0.8, 1.0):
        symbols = rng.integers(-1, 2, (1, 6, 8)).astype(np.int32)
        for x in range(1, 8):
            same = rng.random(6) < repeat
            symbols[0, same, x] = symbols[0, same, x - 1]
        coded = codec.encode(Message(symbols))
        plain = codecs.make("factorized", tables, coder).encode(Message(symbols)).body
        context = coders.make_context(coder, tables)[1].encode(symbols)[0]
        assert coded.body == (plain if len(plain) < len(context) else context)
        assert coded.plain == (len(plain) < len(context))
        assert np.array_equal(codec.decode(coded.body, (6, 8), coded.plain).symbols, symbols)
        used.add(coded.plain)
    assert used == {True, False}


def test_the_price_of_plain_coding_is_never_overestimated():
    """Otherwise a sender could miss that plain coding is shorter, and senders would differ."""
    rng = np.random.default_rng(8)
    for _ in range(200):
        tables, symbols = random_case(rng, 8, 20)
        _, at_least = NativeContextCoder(tables).encode(symbols)
        plain = len(codecs.make("factorized", tables, "native").encode(Message(symbols)).body)
        assert at_least <= plain
        quiet = replace(tables, zero_weight=np.full(tables.channels, TOTAL // 2, np.uint32))
        _, at_least = NativeContextCoder(quiet).encode(symbols)
        plain = len(codecs.make("factorized", quiet, "native").encode(Message(symbols)).body)
        assert plain - at_least <= 2 + tables.channels / 8


def test_the_flag_is_for_tables_that_have_contexts():
    tables = _like((0, -1))
    symbols = np.ones((1, 3, 3), np.int32)
    body, _ = codecs.make("factorized", tables, None).encode(Message(symbols))
    data = pack(Payload(tables.id, body, plain=True))
    assert data[3] == FLAG_PLAIN
    parts = unpack(data, [tables.id], Limits((9, 9), 99), context=True)
    assert parts.plain and np.array_equal(
        codecs.make("context", tables, None).decode(body, (3, 3), True).symbols, symbols
    )
    with pytest.raises(UnsupportedFlags):
        unpack(data, [tables.id], Limits((9, 9), 99))
    with pytest.raises(UnsupportedFlags):
        codecs.make("factorized", tables, None).decode(body, (3, 3), True)
    with pytest.raises(TablesError, match="no contexts"):
        codecs.make("context", replace(tables, contexts=None), None)


def test_tables_with_contexts_have_another_name_and_survive_storage():
    rng = np.random.default_rng(9)
    for _ in range(20):
        tables, _ = random_case(rng)
        stored = Tables.from_arrays(tables.arrays())
        assert stored.id == tables.id != replace(tables, contexts=None).id
        assert stored.canonical_bytes() == tables.canonical_bytes()
    arrays = tables.arrays()
    del arrays["context_direction"]
    with pytest.raises(TablesError, match="context_direction"):
        Tables.from_arrays(arrays)


def test_contexts_that_break_their_rules():
    tables = _like((0, -1))
    good = tables.contexts
    assert good is not None
    flaws = {
        "weights from": {"activity": np.full((1, 6), 16, np.int8)},
        "rising order": {"direction_steps": np.array([[1, 0]], np.int16)},
        "at most 256": {"activity_steps": np.zeros((1, 99), np.int16)},
        "do not fit": {"weights": good.weights[:-1]},
        "sum to": {"weights": good.weights + np.uint32(1)},
        "modelled": {"modelled": np.full(1, 2, np.uint8)},
        "is int32": {"activity": good.activity.astype(np.int32)},
    }
    for words, flaw in flaws.items():
        with pytest.raises(TablesError, match=words):
            replace(tables, contexts=replace(good, **flaw))
    with contextlib.suppress(TablesError):  # any arrays at all give an error or tables, nothing else
        Contexts.from_arrays({name: np.zeros(3) for name in good.arrays()})
    assert LARGEST_SUM == 630
