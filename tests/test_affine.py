"""The affine codec: its quantiser against the published formula, every way to code, and bodies that nobody wrote."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import torch

from calibration.refit import fitted
from encoders import spec
from encoders.device import DeviceEncoder
from encoders.seeded import seeded
from runtime.codecs import Message
from runtime.codecs.affine import AffineCodec
from runtime.coder import available
from runtime.errors import BadBody, CorruptBody, SymbolError, UnsupportedFlags
from tests.messages import random_contexts

HEAD = struct.Struct("<BBf")
BYTES, TABLES, PLAIN = range(3)
GRID = (12, 12)


@pytest.fixture(scope="module")
def model():
    return seeded(spec("crbq_now_resnet50_c12"), 0)


@pytest.fixture(scope="module")
def latents(model, pixels) -> list[np.ndarray]:
    """Of two photographs, as a device's graph puts them out."""
    device = DeviceEncoder(model, spec("crbq_now_resnet50_c12")).eval()
    with torch.no_grad():
        return [device(torch.from_numpy(picture).unsqueeze(0))[0].numpy() for picture in pixels]


@pytest.fixture(scope="module")
def tables(model, latents) -> dict[str, object]:
    """Those before any fitting, fitted ones, the same with contexts, and with contexts that fit nothing."""
    uniform = model.tables((29, 29))
    read = AffineCodec(uniform).read
    seen = [read([np.roll(latent, shift, axis=1)]).symbols for latent in latents for shift in range(4)]
    plain, context = (fitted(kind, uniform, seen, "affine")[1] for kind in ("plain", "context"))
    rng = np.random.default_rng(0)
    return {"uniform": uniform, "plain": plain, "context": context, "misfit": random_contexts(rng, plain)}


@pytest.fixture(scope="module")
def bodies(tables, latents) -> dict[str, tuple[AffineCodec, bytes, Message]]:
    """A small part of a photograph's latent, coded in each way."""
    made = {}
    for name, own in tables.items():
        codec = AffineCodec(own)
        message = codec.read([latents[0][:, 8:20, 8:20]])
        made[name] = codec, codec.encode(message).body, message
    return made


def published(latent: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int, torch.Tensor]:
    """Numbers, scale, zero point and what they stand for, from the formula, in torch."""
    low, high = latent.min(), latent.max()
    scale = (high - low) / 255.0
    zero = int(torch.clamp(0.0 - low / scale, 0.0, 255.0))
    numbers = torch.clamp(zero + latent / scale, 0.0, 255.0).round().to(torch.uint8)
    return numbers, scale, zero, scale * (numbers.float() - zero)


@pytest.mark.parametrize("moved", [0.0, 0.37, -1.5, 9.0, -9.0])
@pytest.mark.parametrize("stretched", [1.0, 1e-6, 3e4])
def test_quantiser_is_the_published_one(tables, latents, moved, stretched):
    codec = AffineCodec(tables["uniform"])
    for latent in latents:
        given = (latent + np.float32(moved)) * np.float32(stretched)
        numbers, scale, zero, restored = published(torch.from_numpy(given))
        message = codec.read([given])
        how, its_zero, its_scale = HEAD.unpack_from(codec.encode(message).body)
        assert (its_zero, np.float32(its_scale)) == (zero, scale.numpy())
        assert np.array_equal(message.symbols + zero, numbers.numpy())
        assert np.array_equal(codec.latent(message), restored.numpy())
        if how == BYTES:
            assert codec.encode(message).body[HEAD.size :] == numbers.numpy().tobytes()


def test_halves_are_rounded_to_even(tables):
    """With zero in the range's middle and a scale of one, every half is met exactly."""
    values = np.arange(-254, 256, dtype=np.float32) / 2
    values[[0, -1]] = -127, 128
    latent = np.resize(values, (12, 5, 17))
    numbers, scale, zero, _ = published(torch.from_numpy(latent))
    assert (float(scale), zero) == (1, 127)
    symbols = AffineCodec(tables["uniform"]).read([latent]).symbols
    assert np.array_equal(symbols, numbers.numpy().astype(int) - 127)
    halves = np.modf(latent)[0] != 0
    assert halves.sum() > 100 and not np.any((symbols[halves] + 127) % 2)


@pytest.mark.parametrize(
    ("name", "way"), [("uniform", BYTES), ("plain", TABLES), ("context", TABLES), ("misfit", PLAIN)]
)
@pytest.mark.parametrize("coder", available())
def test_round_trip_with_every_coder(bodies, tables, name, way, coder):
    codec = AffineCodec(tables[name], coder)
    _, body, message = bodies[name]
    assert codec.coder == coder
    assert codec.encode(message) == (body, False)
    assert body[0] == way
    back = codec.decode(body, GRID)
    assert np.array_equal(back.symbols, message.symbols) and np.array_equal(back.side, message.side)
    assert back.symbols.dtype == np.int32
    assert np.array_equal(codec.latent(back), codec.latent(message))


def test_latent_is_near_what_was_sent(bodies, latents):
    """Within half a step, but for the top: the zero point is rounded down, and what it pushes out is cut off."""
    codec, body, _ = bodies["context"]
    latent = latents[0][:, 8:20, 8:20]
    off = np.abs(codec.latent(codec.decode(body, GRID)) - latent) / HEAD.unpack_from(body)[2]
    assert off.max() < 1 and np.mean(off <= 0.5001) > 0.99


def test_sizes(tables, latents):
    """Bytes where nothing was learnt, fewer with tables, fewer still with contexts."""
    sizes = {}
    for name in ("uniform", "plain", "context"):
        codec = AffineCodec(tables[name])
        sizes[name] = len(codec.encode(codec.read([latents[1]])).body)
    assert sizes["uniform"] == latents[1].size + HEAD.size
    assert sizes["context"] < sizes["plain"] < 0.9 * sizes["uniform"]


@pytest.mark.parametrize("name", ["uniform", "plain", "context", "misfit"])
def test_damaged_bodies(bodies, name):
    """Either no sender wrote it, or it is what a sender writes for some other latent."""
    codec, body, message = bodies[name]
    rng = np.random.default_rng(1)
    damaged = [body[:length] for length in range(len(body))] + [body + b"\0", body + b"\1", body + body]
    for _ in range(600):
        other = bytearray(body)
        for place in rng.integers(0, rng.choice([6, len(body)]), rng.integers(1, 4)):
            other[place] = rng.integers(256)
        damaged.append(bytes(other))
    refused = 0
    for other in damaged:
        try:
            read = codec.decode(other, GRID)
        except BadBody:
            refused += 1
            continue
        assert codec.encode(read).body == other
        assert np.isfinite(codec.latent(read)).all()
    assert refused >= len(body) // 2
    assert np.array_equal(codec.decode(body, GRID).symbols, message.symbols)


@pytest.mark.parametrize("scale", [0.0, -0.0, -1.0, np.inf, -np.inf, np.nan])
def test_impossible_scales(bodies, scale):
    codec, body, message = bodies["uniform"]
    with pytest.raises(CorruptBody):
        codec.decode(HEAD.pack(BYTES, body[1], scale) + body[HEAD.size :], GRID)
    side = np.array([np.float32(scale).view(np.int32), body[1]], np.int32)
    with pytest.raises(SymbolError, match="cannot be coded"):
        codec.encode(Message(message.symbols, side))


def test_unknown_and_unavailable_ways(bodies):
    for name, ways in (("plain", (PLAIN, 3, 255)), ("context", (3, 255))):
        codec, body, _ = bodies[name]
        for way in ways:
            with pytest.raises(CorruptBody):
                codec.decode(bytes([way]) + body[1:], GRID)


def test_the_way_is_the_shortest(bodies):
    """The same symbols in any other way than a sender's are refused."""
    codec, _, message = bodies["plain"]
    numbers = (message.symbols + message.side[1]).astype(np.uint8)
    scale = message.side[:1].view(np.float32)[0]
    with pytest.raises(CorruptBody):
        codec.decode(HEAD.pack(BYTES, message.side[1], scale) + numbers.tobytes(), GRID)
    contextual, body, _ = bodies["misfit"]
    longer, _ = contextual._inner._context.encode(message.symbols)
    assert len(longer) > len(body) - HEAD.size
    with pytest.raises(CorruptBody):
        contextual.decode(HEAD.pack(TABLES, message.side[1], scale) + longer, GRID)


def test_numbers_outside_8_bits(bodies):
    codec, body, message = bodies["plain"]
    with pytest.raises(SymbolError, match="outside 8 bits"):
        codec.encode(replace_side(message, zero=0))
    coded = codec._inner.encode(message).body
    assert body[HEAD.size :] == coded
    with pytest.raises(CorruptBody):
        codec.decode(HEAD.pack(TABLES, 0, 1.0) + coded, GRID)


def replace_side(message: Message, zero: int) -> Message:
    return message._replace(side=np.array([message.side[0], zero], np.int32))


@pytest.mark.parametrize("zero", [-1, 256, 1 << 20])
def test_impossible_zero_points(bodies, zero):
    codec, _, message = bodies["uniform"]
    with pytest.raises(SymbolError):
        codec.encode(replace_side(message, zero))


@pytest.mark.parametrize("side", [None, np.zeros(3, np.int32), np.zeros(2, np.int64), np.zeros(2, np.float32)])
def test_missing_side(bodies, side):
    codec, _, message = bodies["uniform"]
    with pytest.raises(SymbolError, match="missing"):
        codec.encode(Message(message.symbols, side))


@pytest.mark.parametrize("grid", [(12, 13), (232, 232)])
def test_a_larger_grid(bodies, grid):
    """Bytes run out. A coded body for more symbols could not be told from one that was cut short."""
    codec, body, _ = bodies["uniform"]
    with pytest.raises(CorruptBody, match="send the payload again"):
        codec.decode(body, grid)


@pytest.mark.parametrize("grid", [(12, 11), (6, 6), (1, 1)])
@pytest.mark.parametrize("name", ["uniform", "plain", "context"])
def test_a_smaller_grid(bodies, name, grid):
    codec, body, _ = bodies[name]
    with pytest.raises(BadBody):
        codec.decode(body, grid)


def test_the_header_says_nothing_of_plain_tables(bodies):
    codec, body, _ = bodies["misfit"]
    with pytest.raises(UnsupportedFlags):
        codec.decode(body, GRID, plain=True)


@pytest.mark.parametrize("name", ["uniform", "context"])
@pytest.mark.parametrize("value", [0.0, 0.3, -0.3, 1e-40, -1e-40, 3e38, -3e38, 1.0])
def test_constant_latents(tables, name, value):
    """The formula divides by zero there; what is sent stands for the very number."""
    codec = AffineCodec(tables[name])
    latent = np.full((12, *GRID), value, np.float32)
    message = codec.read([latent])
    back = codec.decode(codec.encode(message).body, GRID)
    assert np.array_equal(codec.latent(back), latent)


def test_latents_too_narrow_for_a_step(tables):
    """A range of a few of the smallest numbers of float32 has no 255th part."""
    latent = np.zeros((12, *GRID), np.float32)
    latent[0, 0, 0] = 1e-45
    codec = AffineCodec(tables["uniform"])
    message = codec.read([latent])
    assert np.isfinite(codec.latent(codec.decode(codec.encode(message).body, GRID))).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_latents_that_are_not_finite(tables, latents, bad):
    latent = latents[0].copy()
    latent[3, 5, 7] = bad
    with pytest.raises(SymbolError, match="not finite"):
        AffineCodec(tables["uniform"]).read([latent])


def test_latents_wider_than_float32(tables, latents):
    latent = latents[0].copy()
    latent[0, 0, :2] = -3e38, 3e38
    with pytest.raises(SymbolError, match="too wide"):
        AffineCodec(tables["uniform"]).read([latent])


def test_numbers_in_any_memory_order(tables, latents):
    codec = AffineCodec(tables["plain"])
    turned = np.asfortranarray(latents[0])
    assert codec.encode(codec.read([turned])) == codec.encode(codec.read([latents[0]]))
