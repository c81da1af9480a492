"""SPIC's units with their published weights, against what the original made of the same features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from encoders import counts
from encoders.checkpoint import fill, read_state
from encoders.systems.spic import SPICModel, Unit
from encoders.systems.spic_rows import ROWS, Row
from runtime import codecs
from runtime.codecs import Message
from tests.conftest import SHARED
from tests.golden import huffman
from tests.test_spic import published

GOLDEN, DATA = SHARED / "golden" / "spic", SHARED / "data" / "spic"
pytestmark = pytest.mark.skipif(
    not (GOLDEN.is_dir() and DATA.is_dir()), reason="Intel's weights and the original's outputs are not at hand"
)
NAMED = {row.name: row for row in ROWS}
SETS = {"cls_S1_0": "spic_cls_s1_0", "cls_S3_4": "spic_cls_s3_4", "seg_S1_2": "spic_seg_s1_2"}


def table_of(row: Row):
    return DATA / f"{row.task}_freq" / row.folder.split("/")[1] / row.table


TABLES = [row for row in ROWS if not row.split.startswith("U") and table_of(row).is_file()]


class Golden:
    """One golden set beside the unit with its published weights."""

    def __init__(self, name: str) -> None:
        self.row = NAMED[SETS[name]]
        self.expected = np.load(GOLDEN / f"{name}.npz")
        self.unit = Unit(self.row).eval()
        state = read_state(DATA / f"{self.row.task}_weights" / self.row.split / self.row.weights)
        own = self.unit.state_dict()
        self.unit.load_state_dict({key: state[key] for key in own})
        self.features = torch.from_numpy(self.expected["x"]).float()
        self.step = float(np.float32(self.row.step))

    def device(self) -> nn.Sequential:
        """What a device runs behind the head, up to whole steps."""
        return nn.Sequential(*self.unit.encoder, _Round(self.step)).eval()


class _Round(nn.Module):
    def __init__(self, step: float) -> None:
        super().__init__()
        self.step = step

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return (features / self.step).round().to(torch.int32)


@pytest.fixture(scope="module", params=SETS)
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(request.param)


@torch.no_grad()
def test_features_symbols_and_latent(golden):
    features = nn.Sequential(*golden.unit.encoder)(golden.features)
    assert np.abs(features.numpy() - golden.expected["z"]).max() < 1e-4
    symbols = golden.device()(golden.features).numpy()
    assert np.array_equal(symbols, golden.expected["k"])
    row = golden.row
    counted = counts.tables(counts.read(table_of(row), row.step), row.channels, 16, row.step)
    assert np.array_equal(counted.latent(symbols[0]), golden.expected["q"][0])


@torch.no_grad()
def test_what_the_server_rebuilds(golden):
    rebuilt = golden.unit.decode(torch.from_numpy(golden.expected["q"])).numpy()
    assert rebuilt.shape == tuple(golden.expected["y_shape"])
    scale = np.abs(golden.expected["y"]).max()
    assert np.abs(rebuilt - golden.expected["y"]).max() < 1e-5 * max(1, scale)
    sums = rebuilt.astype(np.float64).sum(axis=(0, 2, 3))
    assert np.allclose(sums, golden.expected["y_chan_sum"], rtol=1e-4, atol=1e-2)


def test_an_exported_unit_gives_the_same_symbols(golden, tmp_path):
    """Batch norms folded, and another engine's convolutions."""
    from encoders.plain import plain
    from export.targets import onnx
    from runtime.engines import open_engine

    graph = onnx.convert(plain(golden.device()), golden.features, "fp32", tmp_path, "unit")
    (symbols,) = open_engine(None, "onnx", tmp_path / graph, 1).run(golden.features.numpy())
    assert np.array_equal(symbols, golden.expected["k"])


def test_the_published_file_fits_the_whole_model(golden):
    """Under the names that the published networks have, further nets of training left out."""
    from encoders import spec

    with torch.device("meta"):
        model = spec(golden.row.name).build()
    assert isinstance(model, SPICModel)
    state = model.translate(read_state(DATA / f"{golden.row.task}_weights" / golden.row.split / golden.row.weights))
    assert len(state) == 24 and all(key.startswith(f"{golden.row.cut.unit}.") for key in state)
    assert all(state[key].shape == model.state_dict()[key].shape for key in state)
    with pytest.raises(ValueError, match="missing: "):
        fill(model, state, "encoder", "a unit alone")


def test_original_byte_strings(golden):
    """From the published table its code, from our symbols the very bytes."""
    found = counts.read(table_of(golden.row), golden.row.step)
    seen = {int(k): int(found[k]) for k in np.flatnonzero(found)}
    assert seen == dict(zip(golden.expected["freq_k"].tolist(), golden.expected["freq_count"].tolist(), strict=True))
    table = huffman.codes(seen)
    columns = (golden.expected[f"code_{name}"].tolist() for name in ("sym_k", "bits", "val"))
    for symbol, bits, value in zip(*columns, strict=True):
        assert table[symbol] == (bits, value)
    assert table[huffman.END] == (int(golden.expected["eof_bits"]), int(golden.expected["eof_val"]))
    with torch.no_grad():
        symbols = golden.device()(golden.features).numpy()
    data = huffman.encode(symbols.ravel().tolist(), table)
    assert data == golden.expected["huff_bytes"].tobytes() and len(data) == int(golden.expected["huff_len"])


def test_our_coder_takes_the_same_symbols_and_any_other(golden):
    """Also those that the published table has never seen, which the original cannot code."""
    row, symbols = golden.row, golden.expected["k"][0]
    found = counts.read(table_of(row), row.step)
    made = counts.tables(found, row.channels, symbols[0].size, row.step)
    codec = codecs.make("histogram", made, None)
    unseen = symbols.copy()
    unseen[0, 0, 0] = len(found) + 5
    for each in (symbols, unseen):
        decoded = codec.decode(codec.encode(Message(each)).body, each.shape[1:])
        assert np.array_equal(decoded.symbols, each)
        assert np.array_equal(codec.latent(decoded), each.astype(np.float32) * np.float32(row.step))
    table = huffman.codes({int(k): int(found[k]) for k in np.flatnonzero(found)})
    with pytest.raises(KeyError):
        huffman.encode(unseen.ravel().tolist(), table)


@pytest.mark.parametrize("row", TABLES, ids=lambda row: row.name)
def test_published_tables(row):
    found = counts.read(table_of(row), row.step)
    seen = {int(k): int(found[k]) for k in np.flatnonzero(found)}
    assert huffman.bits_per_symbol(seen, huffman.codes(seen)) == pytest.approx(published(row).bits, abs=5e-4)
    made = counts.tables(found, row.channels, 16, row.step)
    assert made.low.tolist() == [-1] * row.channels and made.bins[0] == max(len(found), 2) + 2
    weights = made.row_weights(row.channels - 1).astype(float)
    assert np.allclose(weights[1 : 1 + len(found)] / weights.sum(), found / found.sum(), atol=3e-6)
    assert np.all(weights[1 : 1 + len(found)][found == 0] == 1) and weights[0] == 1 and 8 <= weights[-1] <= 32
    assert made.step == np.float32(row.step)


def test_all_tables_at_hand_were_tried():
    assert len(TABLES) == 25


def test_the_benchmark_tells_the_published_code_from_ours():
    """On features of no network, for the cheapest row; the drawn symbols cost what the published table says."""
    from benchmarks.spic import COLUMNS, files, line

    row = NAMED["spic_cls_s1_6"]
    weights, table = files(DATA, row)
    features = torch.rand((12, 2048, 7, 7), generator=torch.Generator().manual_seed(0))
    cells = line(row, table, weights, features, 8).strip("| ").split(" | ")
    assert len(cells) == len(COLUMNS) and cells[0] == "cls_s1_6" and cells[1] == "32x2x2"
    huffman_bytes, range_bytes = (float(cell.removesuffix(" B")) for cell in cells[2:4])
    assert huffman_bytes == pytest.approx(published(row).bits * 32 * 4 / 8, rel=0.05)
    assert range_bytes < huffman_bytes
