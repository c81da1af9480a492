"""The hyper-synthesis in integers, and the codec on top of it: the same on every machine, whatever it is asked."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from encoders import MODELS, spec
from encoders.fixed_point import fixed_point
from encoders.loading import load
from runtime import codecs
from runtime.codecs import Message
from runtime.coder import CODERS
from runtime.errors import PayloadError, SymbolError, TablesError, UsageError
from runtime.hyper import LARGEST, Hyper, Layer, shifted
from runtime.tables import Tables
from tests.conftest import ROOT

SCALES = torch.exp(torch.linspace(np.log(0.11), np.log(256), 64))


def _layer(**changes: object) -> Layer:
    rng = np.random.default_rng(3)
    fields = {
        "weight": rng.integers(-32768, 32768, (5, 4, 3, 3)).astype(np.int16),
        "bias": rng.integers(-(1 << 40), 1 << 40, 5),
        "transposed": False, "stride": 2, "padding": 1, "output_padding": 0, "shift": 14, "slope": 167772,
    }  # fmt: skip
    return Layer(**{**fields, **changes})  # type: ignore[arg-type]


def _by_hand(layer: Layer, x: np.ndarray) -> np.ndarray:
    """The same sums in Python's own integers, which have no limit."""
    out, _, k, _ = layer.weight.shape
    height, width = layer.size(x.shape[1]), layer.size(x.shape[2])
    sums = [[[int(layer.bias[o])] * width for _ in range(height)] for o in range(out)]
    weight, given = layer.weight.tolist(), x.tolist()
    for o, i, dy, dx in itertools.product(range(out), range(len(x)), range(k), range(k)):
        for y, xx in np.ndindex(*x.shape[1:]) if layer.transposed else np.ndindex(height, width):
            to, at = (
                ((y * layer.stride + dy - layer.padding, xx * layer.stride + dx - layer.padding), (y, xx))
                if layer.transposed
                else ((y, xx), (y * layer.stride + dy - layer.padding, xx * layer.stride + dx - layer.padding))
            )
            if 0 <= to[0] < height and 0 <= to[1] < width and 0 <= at[0] < x.shape[1] and 0 <= at[1] < x.shape[2]:
                sums[o][to[0]][to[1]] += weight[o][i][dy][dx] * given[i][at[0]][at[1]]
    return np.array(sums)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (1, 1), (2, 1), (2, 2)])
def test_sums_are_exact_at_the_largest_activations(transposed, stride, padding):
    layer = _layer(transposed=transposed, stride=stride, padding=padding, output_padding=int(transposed))
    x = np.random.default_rng(1).choice([-LARGEST, LARGEST, LARGEST - 1, 1, 0], (4, 5, 6))
    assert np.array_equal(layer.sums(x), _by_hand(layer, x))


def test_rounding_and_slope():
    assert shifted(np.array([-3, -2, -1, 0, 1, 2, 3]), 1).tolist() == [-1, -1, 0, 0, 1, 1, 2]
    layer = _layer(weight=np.full((1, 1, 1, 1), 1 << 10, np.int16), bias=np.zeros(1, np.int64), stride=1, padding=0,
                   shift=10)  # fmt: skip
    assert layer(np.array([[[-65536, 65536]]])).tolist() == [[[-655, 65536]]]
    assert layer(np.array([[[-LARGEST, LARGEST]]])).ravel().tolist() == [
        shifted(np.array(-LARGEST * 167772), 24),
        LARGEST,
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"weight": np.full((1, 600, 8, 8), 32767, np.int16), "bias": np.zeros(1, np.int64)},
        {"bias": np.full(5, 1 << 53)},
        {"bias": np.zeros(4, np.int64)},
        {"weight": np.zeros((5, 4, 3, 2), np.int16)},
        {"stride": 0},
        {"shift": 31},
        {"slope": 1 << 25},
        {"padding": -1},
    ],
)
def test_layers_that_could_not_be_exact_are_refused(changes):
    with pytest.raises(TablesError):
        _layer(**changes)


def _network(means: bool) -> nn.Sequential:
    torch.manual_seed(5)
    return nn.Sequential(
        nn.ConvTranspose2d(8, 8, 5, stride=2, padding=2, output_padding=1),
        nn.LeakyReLU(),
        nn.ConvTranspose2d(8, 8, 5, stride=2, padding=2, output_padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 12 if means else 6, 3, padding=1),
    )


@pytest.fixture(params=[False, True], ids=["scales", "scales and means"])
def hyper(request: pytest.FixtureRequest) -> Hyper:
    torch.manual_seed(5)
    network, medians = _network(request.param), np.linspace(-0.4, 0.4, 8, dtype=np.float32)
    with torch.no_grad():
        network[-1].weight *= 8
        network[-1].bias += 2
    return fixed_point(network, medians, SCALES, means=request.param, windows=((3, 1, 1), (5, 2, 2), (5, 2, 2)))


@pytest.fixture
def tables(hyper: Hyper) -> Tables:
    rows = [[1 << 20, (1 << 24) - (1 << 21) - 256, 1 << 20, 256]] * 8
    return replace(Tables.build(rows, [-1] * 8, [1 << 12] * 8), hyper=hyper)


def _message(tables: Tables, seed: int, grid: tuple[int, int] = (4, 4)) -> Message:
    rng = np.random.default_rng(seed)
    side = np.rint(rng.normal(0, 3, (8, *grid))).astype(np.int32)
    assert tables.hyper is not None
    rows, _ = tables.hyper.synthesise(side)
    symbols = np.rint(rng.normal(0, SCALES.numpy()[rows])).astype(np.int32)
    symbols.ravel()[rng.integers(0, symbols.size, 3)] = [32767, -32768, 3000]
    return Message(symbols, side)


@pytest.mark.parametrize("means", [False, True])
def test_integers_follow_the_network(means):
    """Scales within a hair of the float network's, so that rows are the same or next to each other; means, too."""
    network, medians = _network(means), np.linspace(-0.4, 0.4, 8, dtype=np.float32)
    with torch.no_grad():
        network[-1].weight *= 8
        network[-1].bias += 2
    made = fixed_point(network, medians, SCALES, means=means, windows=((3, 1, 1), (5, 2, 2), (5, 2, 2)))
    side = np.rint(np.random.default_rng(0).normal(0, 3, (8, 6, 6))).astype(np.int32)
    with torch.no_grad():
        real = network.double()(torch.from_numpy(side + medians[:, None, None]).double().unsqueeze(0))[0].numpy()
    rows, offsets = made.synthesise(side)
    edges = SCALES[:-1].double().numpy()
    expected = 63 - (np.maximum(real[:6], edges[0])[..., None] <= edges).sum(axis=-1)
    assert (rows != expected).mean() < 0.002 and np.abs(rows.astype(int) - expected).max() <= 1
    assert len(np.unique(rows)) > 20
    if means:
        assert np.abs(offsets - real[6:]).max() < 1e-3
        assert np.array_equal(offsets * 65536, np.rint(offsets * 65536))


@pytest.mark.parametrize(
    ("layers", "hint"),
    [
        ([nn.Conv2d(8, 8, 3), nn.GELU(), nn.Conv2d(8, 6, 3)], "GELU"),
        ([nn.Conv2d(8, 8, 3, groups=2), nn.ReLU(), nn.Conv2d(8, 6, 3)], "groups"),
        ([nn.Conv2d(8, 8, 3, dilation=2), nn.ReLU(), nn.Conv2d(8, 6, 3)], "dilation"),
    ],
)
def test_what_has_no_integer_form_is_told(layers, hint):
    with pytest.raises(UsageError, match=hint):
        fixed_point(nn.Sequential(*layers), np.zeros(8, np.float32), SCALES, means=False, windows=((3, 1, 1),))


def test_stored_and_read_again(tables):
    again = Tables.from_arrays(tables.arrays())
    assert again.id == tables.id
    side = _message(tables, 0).side
    for ours, theirs in zip(again.hyper.synthesise(side), tables.hyper.synthesise(side), strict=True):
        assert np.array_equal(ours, theirs)
    changed = dict(tables.arrays())
    changed["hyper_layer0_weight"] = changed["hyper_layer0_weight"].copy()
    changed["hyper_layer0_weight"][0, 0, 0, 0] += 1
    assert Tables.from_arrays(changed).id != tables.id


@pytest.mark.parametrize("name", ["hyper_centre", "hyper_thresholds", "hyper_layer1_bias", "hyper_bins"])
def test_missing_or_mistyped_arrays_are_named(tables, name):
    arrays = dict(tables.arrays())
    arrays[name] = arrays[name].astype(np.float32)
    with pytest.raises(TablesError, match=name):
        Tables.from_arrays(arrays)
    del arrays[name]
    with pytest.raises(TablesError):
        Tables.from_arrays(arrays)


@pytest.mark.parametrize("seed", range(4))
def test_all_coders_write_the_same_and_read_it_back(tables, seed):
    message = _message(tables, seed, (4, 3 + seed))
    grid = message.symbols.shape[1:]
    bodies = set()
    for name in CODERS:
        codec = codecs.make("hyperprior", tables, name)
        coded = codec.encode(message)
        assert not coded.plain
        bodies.add(coded.body)
        read = codec.decode(coded.body, grid)
        assert np.array_equal(read.symbols, message.symbols) and np.array_equal(read.side, message.side)
        assert np.array_equal(codec.latent(read), codecs.make("hyperprior", tables, None).latent(message))
    assert len(bodies) == 1


def test_reading_subtracts_the_mean_and_the_latent_adds_it(tables):
    codec = codecs.make("hyperprior", tables, None)
    side = _message(tables, 9).side
    latent = np.random.default_rng(2).normal(0, 3, (6, 16, 16)).astype(np.float32)
    message = codec.read([latent, side.astype(np.float32)])
    assert np.array_equal(message.side, side)
    assert np.abs(codec.latent(message) - latent).max() <= 0.5
    assert np.array_equal(codec.decode(codec.encode(message).body, (16, 16)).symbols, message.symbols)


@pytest.mark.parametrize("coder", CODERS)
def test_damaged_bodies_are_typed_errors(tables, coder):
    codec = codecs.make("hyperprior", tables, coder)
    message = _message(tables, 1)
    body = codec.encode(message).body
    grid = message.symbols.shape[1:]
    rng = np.random.default_rng(0)
    damaged = [body[: len(body) // 2], body + b"\1", b"", b"\xff" * len(body)]
    for _ in range(40 if coder == "native" else 4):
        flipped = bytearray(body)
        flipped[rng.integers(len(body))] ^= 1 << rng.integers(8)
        damaged.append(bytes(flipped))
    for other in damaged:
        try:
            read = codec.decode(other, grid)
        except PayloadError:
            continue
        assert codec.encode(read).body == other  # another message's own body: the checksum's business
    with pytest.raises(PayloadError, match="no sender"):
        codec.decode(body, (15, 16))
    with pytest.raises(PayloadError, match="plain"):
        codec.decode(body, grid, plain=True)


def test_messages_that_cannot_be_coded(tables):
    codec = codecs.make("hyperprior", tables, None)
    message = _message(tables, 1)
    far = message.symbols.copy()
    far[0, 0, 0] = 40000
    for wrong, hint in (
        (Message(message.symbols), "missing"),
        (Message(message.symbols[:, 1:], message.side), "do not belong"),
        (Message(far, message.side), "16 bits"),
        (Message(message.symbols, message.side * 20000), "16 bits"),
    ):
        with pytest.raises(SymbolError, match=hint):
            codec.encode(wrong)
    with pytest.raises(SymbolError):
        codec.encode(codec.read([np.full((6, 16, 16), np.nan, np.float32), message.side]))


def test_another_number_of_threads_gives_the_same_rows(hyper, tmp_path):
    """In a process of its own, since BLAS takes that number when it is loaded."""
    program = (
        "import hashlib, sys, numpy as np\n"
        "from runtime.hyper import Hyper\n"
        "hyper = Hyper.from_arrays(dict(np.load(sys.argv[1])))\n"
        "side = np.random.default_rng(0).integers(-9, 9, (8, 40, 40)).astype(np.int32)\n"
        "rows, means = hyper.synthesise(side)\n"
        "print(hashlib.sha256(rows.tobytes() + means.tobytes()).hexdigest(), len(np.unique(rows)))\n"
    )
    np.savez(tmp_path / "hyper.npz", **hyper.arrays())
    told = set()
    for threads in ("1", "2"):
        limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads)
        command = [sys.executable, "-W", "ignore", "-c", program, str(tmp_path / "hyper.npz")]
        environment = {**os.environ, **limits}
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env=environment)
        told.add(done.stdout)
    assert len(told) == 1 and int(told.pop().split()[1]) > 5


@pytest.mark.parametrize("name", [name for name, known in MODELS.items() if known.codec == "hyperprior"])
def test_every_hyperprior_has_an_integer_form(name):
    known = spec(name)
    model = known.build()
    grid = known.grid(known.size)
    tables = model.tables(grid)
    ((channels, *hyper_grid),) = model.further_shapes(grid)
    assert tables.channels == channels and tables.hyper.channels == known.latent_channels
    assert tables.hyper.grid(grid) == tuple(hyper_grid)


@pytest.mark.parametrize("name", ["bmshj2018_hyperprior", "mbt2018_mean"])
def test_bytes_beside_compressais_own(name, pixels):
    """CompressAI's strings of the same weights and picture: ours are as short, to half a per cent."""
    from compressai.models import MeanScaleHyperprior, ScaleHyperprior

    model = load(name, weights="seeded").model
    theirs = (MeanScaleHyperprior if model.means else ScaleHyperprior)(128, 192).eval()
    state = {key: value for key, value in model.state_dict().items() if "gaussian" not in key}
    nn.Module.load_state_dict(theirs, state, strict=False)
    theirs.update(force=True)
    codec = codecs.make("hyperprior", model.tables((16, 16)), None)
    for picture in pixels[:2]:
        x = torch.from_numpy(np.resize(picture, (256, 256, 3)).copy()).permute(2, 0, 1).unsqueeze(0) / 255
        with torch.no_grad():
            strings = theirs.compress(x)["strings"]
            y, z = model.encoder(x)
        side = np.rint(z[0].numpy() - model.outputs[1].centre[:, None, None])
        message = codec.read([y[0].numpy() if model.means else np.rint(y[0].numpy()), side])
        with torch.no_grad():
            given = model.h_s(torch.from_numpy(side + model.outputs[1].centre[:, None, None]).unsqueeze(0))
        means = given.chunk(2, 1)[1][0].numpy() if model.means else 0
        assert (message.symbols != np.rint(y[0].numpy() - means)).mean() < 2e-4
        body = codec.encode(message).body
        assert len(body) <= 1.005 * sum(len(string[0]) for string in strings)


def test_timings_are_of_work_that_was_done(tables, monkeypatch):
    """The synthesis runs once for each message that is sent, also for the same picture again."""
    ran = []
    original = Hyper.synthesise
    monkeypatch.setattr(Hyper, "synthesise", lambda self, side: ran.append(1) or original(self, side))
    codec = codecs.make("hyperprior", tables, None)
    outputs = [np.zeros((6, 16, 16), np.float32), np.ones((8, 4, 4), np.int32)]
    for _ in range(2):
        codec.encode(codec.read(outputs))
    assert len(ran) == 2
