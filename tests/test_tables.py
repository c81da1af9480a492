"""Integer tables: their sums, their canonical bytes, and what is refused."""

from __future__ import annotations

import hashlib
import struct

import numpy as np
import pytest

from runtime.errors import TablesError
from runtime.tables import TOTAL, Tables, integer_weights


def small() -> Tables:
    return Tables.build([[3, TOTAL - 6, 2, 1], [1, TOTAL - 4, 1, 1, 1]], [-1, -2], [7, 8], [0.5, -0.25])


@pytest.mark.parametrize("size", [2, 3, 81, 4096])
def test_weights_sum_and_stay_positive(size):
    rng = np.random.default_rng(size)
    for probabilities in (rng.random(size), np.eye(1, size)[0], rng.random(size) ** 40 + 1e-300):
        weights = integer_weights(probabilities)
        assert weights.sum() == TOTAL and weights.min() >= 1
        assert np.abs(weights / TOTAL - probabilities / probabilities.sum()).max() < (size + 1) / TOTAL


@pytest.mark.parametrize("bad", [[1.0], [0, 0], [1, -1], [1, np.nan], [[1, 2]]])
def test_bad_probabilities(bad):
    with pytest.raises(TablesError):
        integer_weights(bad)


def test_canonical_bytes_are_the_documented_layout():
    expected = b"SPT1" + struct.pack("<H", 2) + struct.pack("<2h", -1, -2) + struct.pack("<2H", 4, 5)
    expected += struct.pack("<2I", 7, 8) + struct.pack("<2f", 0.5, -0.25)
    expected += struct.pack("<9I", 3, TOTAL - 6, 2, 1, 1, TOTAL - 4, 1, 1, 1)
    assert small().canonical_bytes() == expected
    assert small().sha256 == hashlib.sha256(expected).hexdigest()
    assert small().id == hashlib.sha256(expected).digest()[:4]


def test_every_number_changes_the_id():
    table = small()
    ids = {table.id}
    for name in ("low", "zero_weight", "medians"):
        arrays = table.arrays()
        arrays[name] = arrays[name].copy()
        arrays[name][-1] += 1
        ids.add(Tables.from_arrays(arrays).id)
    assert len(ids) == 4


def test_tables_cannot_be_written_to():
    with pytest.raises(ValueError, match="read-only"):
        small().weights[0] = 5


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("weights", np.array([3, TOTAL - 5, 2, 1, 1, TOTAL - 4, 1, 1, 1], np.uint32), "sum"),
        ("weights", np.array([0, TOTAL - 3, 2, 1, 1, TOTAL - 4, 1, 1, 1], np.uint32), "at least 1"),
        ("weights", np.ones(8, np.uint32), "8 weights for 9 bins"),
        ("weights", np.ones(9, np.int64), "weights must be a flat array of uint32"),
        ("low", np.array([0, -2], np.int32), "at least"),
        ("low", np.array([-2048, -2], np.int32), "at most"),
        ("low", np.array([-1], np.int32), "one entry for each channel"),
        ("zero_weight", np.array([0, 8], np.uint32), "all-zero weights"),
        ("zero_weight", np.array([TOTAL, 8], np.uint32), "all-zero weights"),
        ("medians", np.array([np.nan, 0], np.float32), "finite"),
    ],
)
def test_broken_tables_are_refused(name, value, message):
    with pytest.raises(TablesError, match=message):
        Tables.from_arrays({**small().arrays(), name: value})


def test_missing_array_is_named():
    arrays = small().arrays()
    del arrays["bins"]
    with pytest.raises(TablesError, match="bins"):
        Tables.from_arrays(arrays)
