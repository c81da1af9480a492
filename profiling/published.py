"""Numbers that the PCS 2022 paper's repository publishes, for rows and curves beside ours.

Rates are bytes a picture of ImageNet's validation set (50,000), each with about six bytes of the pickle it was sent in;
latencies are of one 224x224 picture, entropy coding included, with the original's own code on its authors' machine.
"""

from __future__ import annotations

from typing import NamedTuple

#: Side of the pictures behind all of these.
SIDE = 224
#: Where the latencies were measured.
DEVICE = "PyTorch on an Intel Core i7-10700K, 8 threads"
#: Model -> milliseconds.
LATENCY = {"ours_n0": 3.95, "ours_n4": 6.70, "ours_n8": 10.2}
#: What the curves are taken on.
DATA = "ImageNet val"
PICTURES = 50_000


class Point(NamedTuple):
    """One checkpoint, by the weight of the rate in its training."""

    weight: float
    top1: float
    top5: float
    payload_bytes: float

    @property
    def bpp(self) -> float:
        """Bits a pixel."""
        return 8 * self.payload_bytes / SIDE**2


CURVES: dict[str, tuple[Point, ...]] = {
    "ours_n0": (
        Point(0.06, 74.914, 92.256, 11392.2),
        Point(0.08, 74.622, 91.94, 7913.0),
        Point(0.16, 74.078, 91.724, 4959.7),
        Point(0.32, 73.84, 91.578, 3682.5),
        Point(0.64, 73.06, 91.138, 2729.8),
        Point(1.28, 70.68, 89.87, 1790.9),
        Point(2.56, 67.814, 87.88, 1133.5),
        Point(3.84, 63.954, 85.236, 875.2),
        Point(5.12, 61.984, 83.722, 715.1),
    ),
    "ours_n0_enc": (
        Point(0.08, 74.474, 92.052, 11006.6),
        Point(0.16, 73.176, 91.268, 7218.2),
        Point(0.32, 73.346, 91.402, 5063.1),
        Point(0.64, 70.762, 89.78, 3546.1),
        Point(1.28, 69.9, 89.22, 2564.1),
        Point(2.56, 66.646, 86.864, 1632.4),
        Point(3.84, 64.52, 85.394, 1365.6),
        Point(5.12, 55.248, 78.952, 1053.9),
        Point(7.68, 45.006, 70.02, 813.5),
    ),
    "ours_n4": (
        Point(0.08, 75.046, 92.334, 7524.5),
        Point(0.16, 74.896, 92.128, 4575.3),
        Point(0.32, 73.5, 91.356, 2786.4),
        Point(0.64, 72.94, 91.076, 2004.1),
        Point(1.28, 71.388, 90.232, 1336.9),
        Point(1.92, 69.996, 89.4, 1107.7),
        Point(3.84, 69.282, 88.74, 703.9),
        Point(5.12, 67.278, 87.628, 593.6),
    ),
    "ours_n4_enc": (
        Point(0.08, 74.06, 91.772, 9161.5),
        Point(0.16, 73.486, 91.458, 5387.5),
        Point(0.32, 72.84, 91.106, 3743.6),
        Point(0.64, 71.482, 90.122, 2540.0),
        Point(1.28, 71.35, 90.106, 1706.1),
        Point(2.56, 68.396, 88.188, 1130.5),
        Point(5.12, 65.162, 86.238, 710.7),
    ),
    "ours_n8": (
        Point(0.08, 75.202, 92.38, 7268.9),
        Point(0.16, 74.58, 92.064, 4497.1),
        Point(0.32, 73.514, 91.51, 2727.2),
        Point(0.64, 72.978, 91.136, 1977.8),
        Point(1.28, 71.51, 90.38, 1411.7),
        Point(2.56, 70.568, 89.522, 876.3),
        Point(5.12, 67.924, 87.89, 582.9),
    ),
    "ours_n8_enc": (
        Point(0.08, 74.142, 91.866, 8291.8),
        Point(0.16, 73.678, 91.68, 5176.9),
        Point(0.32, 72.396, 90.7, 3463.3),
        Point(0.64, 72.128, 90.536, 2544.8),
        Point(1.28, 71.144, 90.128, 1804.6),
        Point(2.56, 69.644, 89.174, 1178.3),
        Point(5.12, 65.464, 86.212, 710.7),
    ),
}
