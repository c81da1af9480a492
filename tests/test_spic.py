"""SPIC: the published rows, their costs counted on layers, and keys of the published networks."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models.segmentation import deeplabv3_resnet50

from encoders import spec
from encoders.costs import count_macs
from encoders.registry import MODELS
from encoders.systems.spic import SPICModel, Unit
from encoders.systems.spic_rows import ROWS, Row
from runtime.errors import UsageError

#: Of each row: latent, side of the map behind the unit, parameters and MACs of its encoder, Huffman bits per symbol.
PUBLISHED: dict[str, tuple[tuple[str, int, int, int, float], ...]] = {
    "cls_s1": (
        ("128x4x4", 7, 284_928, 4_489_216, 2.139),
        ("96x4x4", 7, 219_328, 3_440_640, 2.153),
        ("64x4x4", 7, 153_728, 2_392_064, 2.737),
        ("96x2x2", 7, 219_328, 860_160, 1.903),
        ("64x2x2", 7, 153_728, 598_016, 1.862),
        ("32x2x2", 7, 88_128, 335_872, 3.020),
        ("32x2x2", 7, 88_128, 335_872, 2.603),
    ),
    "cls_s2": (
        ("128x4x4", 7, 284_928, 4_489_216, 2.829),
        ("128x4x4", 7, 284_928, 4_489_216, 2.157),
        ("96x4x4", 7, 219_328, 3_440_640, 2.252),
        ("64x4x4", 7, 153_728, 2_392_064, 1.841),
        ("32x4x4", 7, 88_128, 1_343_488, 1.974),
        ("64x2x2", 7, 153_728, 598_016, 3.137),
    ),
    "cls_s3": (
        ("64x7x7", 15, 76_928, 3_662_848, 3.415),
        ("64x7x7", 15, 76_928, 3_662_848, 2.420),
        ("64x7x7", 15, 76_928, 3_662_848, 1.650),
        ("64x7x7", 15, 76_928, 3_662_848, 1.456),
        ("64x4x4", 17, 76_928, 1_196_032, 2.383),
        ("64x4x4", 17, 76_928, 1_196_032, 2.065),
    ),
    "cls_us1": (
        ("128x4x4", 7, 284_928, 4_489_216, 2.122),
        ("128x4x4", 7, 284_928, 4_489_216, 1.690),
        ("128x2x2", 7, 284_928, 1_122_304, 3.552),
        ("128x2x2", 7, 284_928, 1_122_304, 2.640),
        ("64x2x2", 7, 153_728, 598_016, 3.010),
        ("64x2x2", 7, 153_728, 598_016, 1.391),
    ),
    "cls_us2": (
        ("128x4x4", 7, 284_928, 4_489_216, 2.637),
        ("128x4x4", 7, 284_928, 4_489_216, 1.747),
        ("96x4x4", 7, 219_328, 3_440_640, 1.632),
        ("64x4x4", 7, 153_728, 2_392_064, 1.736),
        ("96x2x2", 7, 219_328, 860_160, 1.758),
    ),
    "seg_s1": (
        ("32x8x8", 65, 11_072, 671_744, 2.421),
        ("16x8x8", 65, 6_944, 409_600, 2.471),
        ("8x8x8", 65, 4_880, 278_528, 2.852),
        ("4x8x8", 65, 3_848, 212_992, 2.696),
        ("2x8x8", 65, 3_332, 180_224, 2.727),
        ("2x8x8", 65, 3_332, 180_224, 1.588),
    ),
    "seg_s2": (
        ("64x16x16", 65, 153_728, 38_273_024, 1.515),
        ("32x16x16", 65, 88_128, 21_495_808, 1.739),
        ("32x16x16", 65, 88_128, 21_495_808, 1.456),
        ("32x11x11", 65, 88_128, 10_160_128, 1.715),
        ("32x11x11", 65, 88_128, 10_160_128, 1.461),
        ("32x11x11", 65, 88_128, 10_160_128, 1.071),
    ),
    "seg_s3": (
        ("96x16x16", 65, 109_760, 27_525_120, 1.360),
        ("64x16x16", 65, 76_928, 19_136_512, 1.444),
        ("64x16x16", 65, 76_928, 19_136_512, 1.353),
        ("48x16x16", 65, 60_512, 14_942_208, 1.496),
        ("32x16x16", 65, 44_096, 10_747_904, 1.408),
        ("32x11x11", 65, 44_096, 5_080_064, 1.875),
        ("32x11x11", 65, 44_096, 5_080_064, 1.418),
    ),
    "seg_us1": (
        ("24x11x11", 65, 9_008, 1_022_208, 2.577),
        ("12x11x11", 65, 5_912, 650_496, 2.616),
        ("16x8x8", 65, 6_944, 409_600, 2.654),
        ("8x8x8", 65, 4_880, 278_528, 2.598),
        ("4x8x8", 65, 3_848, 212_992, 3.405),
    ),
    "seg_us2": (
        ("64x16x16", 65, 153_728, 38_273_024, 1.139),
        ("64x16x16", 65, 153_728, 38_273_024, 1.117),
        ("32x16x16", 65, 88_128, 21_495_808, 1.467),
        ("32x11x11", 65, 88_128, 10_160_128, 1.359),
        ("32x11x11", 65, 88_128, 10_160_128, 1.198),
        ("32x11x11", 65, 88_128, 10_160_128, 1.109),
        ("32x11x11", 65, 88_128, 10_160_128, 1.097),
    ),
}


class Published(NamedTuple):
    """What the paper's files say of a row."""

    latent: tuple[int, ...]
    side: int
    parameters: int
    macs: int
    bits: float


def published(row: Row) -> Published:
    latent, *others = PUBLISHED[f"{row.task}_{row.split.lower()}"][row.row]
    return Published(tuple(map(int, latent.split("x"))), *others)


FIRST = [row for row in ROWS if row.row == 0]


def on_meta(row: Row) -> SPICModel:
    """Without numbers, so that nothing is computed but shapes."""
    with torch.device("meta"):
        return spec(row.name).build().eval()


def side_of_picture(row: Row) -> int:
    return 513 if row.task == "seg" else 224


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_rows(row):
    """Sizes, parameters and MACs of each unit, from layers and not from a formula."""
    expected, known = published(row), spec(row.name)
    with torch.device("meta"):
        unit = Unit(row).eval()
        side = {"cls": 7, "seg": 65}[row.task] * (2 if row.name.startswith("spic_cls_s3") else 1)
        features = torch.zeros(1, row.cut.width, side, side)
    encoder = nn.Sequential(*unit.encoder)
    assert tuple(encoder(features).shape[1:]) == expected.latent == (known.latent_channels, *known.grid(known.size))
    assert unit.decode(encoder(features)).shape[2:] == (expected.side, expected.side)
    assert sum(p.numel() for p in encoder.parameters()) == row.parameters == expected.parameters
    assert count_macs(encoder, features) == row.macs(expected.latent[1]) == expected.macs
    assert known.codec == "histogram" and known.size == side_of_picture(row)


def test_61_rows_of_ten_splits():
    assert len(ROWS) == 61 and sum(map(len, PUBLISHED.values())) == 61 and len(FIRST) == len(PUBLISHED) == 10
    assert {row.name for row in ROWS} == {name for name in MODELS if name.startswith("spic_")}


@pytest.mark.parametrize("row", FIRST, ids=lambda row: row.name)
def test_whole_encoders(row):
    """What ships is the head and half of the unit; the published costs of the heads, counted on the networks."""
    model, known, size = on_meta(row), spec(row.name), side_of_picture(row)
    encoder = model.encoder
    own = list(encoder.state_dict().values())
    assert sum(p.numel() for p in encoder.parameters()) == known.parameters == row.cut.parameters + row.parameters
    assert known.bits == sum(value.numel() * (64 if value.dtype == torch.int64 else 32) for value in own)
    assert count_macs(encoder, torch.zeros(1, 3, size, size, device="meta")) == known.macs
    convolutions = [name for name, module in encoder.named_modules() if isinstance(module, nn.ConvTranspose2d)]
    assert not convolutions, "the server's half does not ship"


@pytest.mark.parametrize("row", FIRST, ids=lambda row: row.name)
def test_keys_are_those_of_the_published_files(row):
    with torch.device("meta"):
        model = on_meta(row)
        host = (
            torchvision.models.resnet50(weights=None)
            if row.task == "cls"
            else deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=21)
        )
        unit = {f"{row.cut.unit}.{key}": value for key, value in Unit(row).state_dict().items()}
    own, expected = model.state_dict(), host.state_dict() | unit
    assert {key: value.shape for key, value in own.items()} == {key: value.shape for key, value in expected.items()}
    sent = {key.removeprefix(f"{row.cut.unit}.") for key in unit if key.startswith(model.encoder_keys)}
    assert {key.split(".")[0] for key in sent} == {"conv2_2", "bn2_1", "conv2_3", "bn3_1"}
    assert sum(own[key].numel() for key in own if key.startswith(model.encoder_keys)) == sum(
        value.numel() for value in model.encoder.state_dict().values()
    )
    assert all(key.startswith((*model.encoder_keys, *model.receiver_keys)) for key in unit)


@pytest.mark.parametrize("row", FIRST, ids=lambda row: row.name)
def test_what_receivers_put_out(row):
    model, known = on_meta(row), spec(row.name)
    latent = torch.zeros(1, row.channels, *known.grid(known.size), device="meta")
    if known.refused:
        with pytest.raises(UsageError, match="other four need the whole map"):
            model.receive(latent)
    elif row.task == "cls":
        assert model.receive(latent).shape == (1, 1000) and len(model.class_names) == 1000
    else:
        assert model.receive(latent).shape == (1, 21, 513, 513) and len(model.class_names) == 21
        small = torch.zeros(1, row.channels, *known.grid(129), device="meta")
        assert model.receive(small).shape == (1, 21, 129, 129)


def test_sizes_that_leave_nothing():
    with pytest.raises(UsageError, match="multiple of 32"):
        spec("spic_cls_s1_0").grid(100)
    with pytest.raises(UsageError, match="too small"):
        spec("spic_seg_s1_0").grid(8)


def test_one_branch_says_what_its_payload_leaves_out():
    row = next(row for row in ROWS if row.name == "spic_seg_s1_0")
    (note,) = on_meta(row).notes(513)
    assert "2048x65x65" in note
    assert "34,611,200 B" in note and "8,652,800 B" in note and "12,980,224 B" in note and "3,245,056 B" in note
    assert "2048x17x17" in on_meta(row).notes(129)[0]
    assert on_meta(next(row for row in ROWS if row.name == "spic_seg_s2_0")).notes(513) == ()
