"""Intel's SPIC, as data: where it cuts which network, and its 61 published rows. Readable without torch.

A row is one trained unit: a depthwise convolution, a 1x1 convolution and a step for the device, and their mirror image
for the server. The networks around it are torchvision's, as published; splits that begin with ``US`` were trained
without labels and are cut where those without the U are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from encoders.registry import ModelSpec, Window

#: Halvings before the third stage. In the segmentation network the third and the fourth stage keep their size.
_COMMON: tuple[Window, ...] = ((7, 2, 3), (3, 2, 1), (3, 2, 1))
_HALF: Window = (3, 2, 1)
_STEM = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2")
_BRANCH = ("classifier.0.convs.1.0", "classifier.0.convs.1.1", "classifier.0.convs.1.2")

#: Why the first cut of the segmentation network has no receiver. docs/spic.md has the figures.
ONE_BRANCH = (
    "the payload holds one of the five branches that the classifier reads, and the other four need the whole map "
    "before the cut: use a split S2, S3 or US2, whose payload is all that a receiver needs"
)


@dataclass(frozen=True)
class Cut:
    """A place in a network: what runs before it on the device, and behind it on the server."""

    where: str
    width: int
    """Channels there."""
    unit: str
    """Name of the unit among the network's modules."""
    head: tuple[str, ...]
    """Modules on the device, in the order in which they run."""
    tail: tuple[str, ...]
    """Modules on the server between the unit and the pooling or the classifier."""
    windows: tuple[Window, ...]
    """What in the head makes the map smaller."""
    parameters: int
    normalised: int
    """Weights and biases of batch norms among these parameters: each has a mean or a variance beside it."""
    norms: int
    macs: int
    """Of the head, for the picture that the network was trained on."""
    padding: int
    """Of the unit's depthwise convolution."""
    kernels: tuple[tuple[int, int, int], ...]
    """Stride -> kernel and padding of the transposed convolution that undoes it."""


def _blocks(layer: str, first: int, last: int) -> tuple[str, ...]:
    return tuple(f"{layer}.{index}" for index in range(first, last + 1))


def _in_backbone(*names: str) -> tuple[str, ...]:
    return tuple(f"backbone.{name}" for name in names)


_Kernels = tuple[tuple[int, int, int], ...]
_POOLED: _Kernels = ((2, 3, 1), (4, 3, 0))
_UNPOOLED: _Kernels = ((2, 3, 0), (4, 5, 0))
_WIDE: _Kernels = ((4, 5, 0), (6, 5, 0), (8, 9, 0))

CUTS: dict[tuple[str, str], Cut] = {
    ("cls", "S1"): Cut(
        "after layer4", 2048, "Bottleneck2", (*_STEM, "layer3", "layer4"), (),
        (*_COMMON, _HALF, _HALF), 23_508_032, 53_120, 53, 4_087_136_256, 1, _POOLED,
    ),
    ("cls", "S2"): Cut(
        "after layer4[0]", 2048, "layer4.0.Bottleneck2", (*_STEM, "layer3", "layer4.0"), _blocks("layer4", 1, 2),
        (*_COMMON, _HALF, _HALF), 14_582_848, 40_832, 47, 3_650_404_352, 1, _POOLED,
    ),
    ("cls", "S3"): Cut(
        "after layer3[4]", 1024, "layer3.5.Bottleneck3", (*_STEM, *_blocks("layer3", 0, 4)), ("layer3.5", "layer4"),
        (*_COMMON, _HALF), 7_426_112, 27_520, 40, 3_059_531_776, 1, _UNPOOLED,
    ),
    ("seg", "S1"): Cut(
        "after one branch of the ASPP", 256, "classifier.0.convs.1.3",
        (*_in_backbone(*_STEM, "layer3", "layer4"), *_BRANCH), (),
        _COMMON, 28_227_136, 53_632, 54, 122_666_050_752, 0, _WIDE,
    ),
    ("seg", "S2"): Cut(
        "after layer4[1]", 2048, "backbone.layer4.1.Bottleneck2",
        _in_backbone(*_STEM, "layer3", *_blocks("layer4", 0, 1)), ("backbone.layer4.2",),
        _COMMON, 19_045_440, 46_976, 50, 83_901_506_752, 0, _WIDE,
    ),
    ("seg", "S3"): Cut(
        "after layer3", 1024, "backbone.layer4.0.Bottleneck2", _in_backbone(*_STEM, "layer3"),
        _in_backbone(*_blocks("layer4", 0, 2)), _COMMON, 8_543_296, 30_592, 43, 39_599_170_752, 0, _WIDE,
    ),
}  # fmt: skip

#: Step of the quantiser, stride and channels of the unit, for each row.
_PUBLISHED: dict[tuple[str, str], tuple[tuple[float, int, int], ...]] = {
    ("cls", "S1"): (
        (3.3831, 2, 128), (8, 2, 96), (4, 2, 64), (6.3529, 4, 96), (7.42, 4, 64), (3.7141, 4, 32), (7.0179, 4, 32),
    ),
    ("cls", "S2"): ((0.5, 2, 128), (1.5, 2, 128), (3.0628, 2, 96), (2, 2, 64), (4, 2, 32), (1, 4, 64)),
    ("cls", "S3"): ((1, 2, 64), (1, 2, 64), (1, 2, 64), (2, 2, 64), (0.5, 4, 64), (1, 4, 64)),
    ("cls", "US1"): ((0.5, 2, 128), (1.5, 2, 128), (0.5, 4, 128), (1, 4, 128), (1, 4, 64), (3.3081, 4, 64)),
    ("cls", "US2"): ((1, 2, 128), (1, 2, 128), (4.371, 2, 96), (5.3368, 2, 64), (2.734, 4, 96)),
    ("seg", "S1"): ((0.5, 8, 32), (1, 8, 16), (1, 8, 8), (1, 8, 4), (3, 8, 2), (8, 8, 2)),
    ("seg", "S2"): ((1, 4, 64), (1, 4, 32), (5, 4, 32), (2, 6, 32), (7, 6, 32), (5, 6, 32)),
    ("seg", "S3"): ((1, 4, 96), (1, 4, 64), (2, 4, 64), (1, 4, 48), (4, 4, 32), (0.5, 6, 32), (1, 6, 32)),
    ("seg", "US1"): ((1, 6, 24), (1, 6, 12), (1, 8, 16), (1, 8, 8), (1, 8, 4)),
    ("seg", "US2"): (
        (3.1, 4, 64), (3.5, 4, 64), (6.95, 4, 32), (1.5, 6, 32), (2.4, 6, 32), (8, 6, 32), (8.5, 6, 32),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One published unit."""

    task: str
    """``cls``, ResNet-50 on ImageNet, or ``seg``, DeepLabv3 with ResNet-50."""
    split: str
    row: int
    step: float
    """What a difference of one between two symbols means, in float32."""
    stride: int
    channels: int

    @property
    def name(self) -> str:
        """Of the model."""
        return f"spic_{self.task}_{self.split.lower()}_{self.row}"

    @property
    def cut(self) -> Cut:
        """Where its network is cut."""
        return CUTS[self.task, self.split.removeprefix("U")]

    @property
    def folder(self) -> str:
        """Of its files, below ``weights`` and ``freq_tab`` of the task."""
        kind = "unsupervised" if self.split.startswith("U") else "supervised"
        return f"{kind}/{self.split.removeprefix('U')}"

    @property
    def weights(self) -> str:
        """Name of the file with the trained unit."""
        return f"model{self.row + 1}.pth.tar"

    @property
    def table(self) -> str:
        """Name of the file with the frequencies of its symbols."""
        return f"freq{self.row + 1}.pickle"

    @property
    def parameters(self) -> int:
        """Of the unit's half on the device."""
        width = self.cut.width
        return 9 * width + width * self.channels + 2 * width + 2 * self.channels

    def macs(self, side: int) -> int:
        """Of the same, for a latent of this side."""
        return side * side * (9 * self.cut.width + self.cut.width * self.channels)


ROWS: tuple[Row, ...] = tuple(
    Row(task, split, index, *values)
    for (task, split), rows in _PUBLISHED.items()
    for index, values in enumerate(rows)
)  # fmt: skip


def specs() -> Iterator[ModelSpec]:
    """What the registry knows of each row."""
    for row in ROWS:
        cut, segments = row.cut, row.task == "seg"
        size = 513 if segments else 224
        windows = (*cut.windows, (3, row.stride, cut.padding))
        learnt = cut.parameters + row.parameters
        buffers = cut.normalised + 2 * (cut.width + row.channels)
        spec = ModelSpec(
            name=row.name,
            system="SPIC",
            module="encoders.systems.spic",
            summary=f"{row.channels} channels at stride {row.stride}, step {row.step:g}",
            latent_channels=row.channels,
            # A map of any size can be segmented; the class map that comes back is as large as the picture where the
            # unit gives back a map as large as it took, which is so at 513 and at 129.
            stride=1 if segments else 32,
            windows=windows,
            split=f"{'DeepLabv3-ResNet-50' if segments else 'ResNet-50'} {cut.where}",
            parameters=learnt,
            bits=32 * (learnt + buffers) + 64 * (cut.norms + 2),
            size=size,
            codec="histogram",
            task="segmentation" if segments else "classification",
            options={"row": row},
            parts=("backbone", "table"),
            refused={"receiver": ONE_BRANCH} if segments and row.split in ("S1", "US1") else {},
        )
        side, _ = spec.grid(size)
        yield replace(spec, macs=cut.macs + row.macs(side))
