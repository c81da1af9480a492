"""The benchmarks run and compare like with like; how fast anything is stays out of the tests."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from calibration.builtin import builtin
from tests.conftest import ROOT, SHARED


def _rows(module: str, *arguments: str) -> list[list[str]]:
    command = [sys.executable, "-W", "ignore", "-m", module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    table = [line for line in done.stdout.splitlines() if line.startswith("|") and "---" not in line]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_full_encode():
    head, original, *ours = _rows(
        "benchmarks.encode", "--models", "ours_n0", "--threads", "1", "--rounds", "1", "--runs", "2"
    )
    assert head[0] == "path" and original[0].startswith("original")
    targets = ["onnx", "tflite", "openvino", "executorch"]
    assert [row[0] for row in ours] == [f"{t} {p}" for p in ("fp32", "int8") for t in targets]
    assert all(float(row[1]) > 0 and float(row[2]) > 0 for row in ours)
    assert all(int(row[3]) <= int(original[3]) for row in ours[:4]), "payloads no larger than the original's"


def test_range_coding():
    rows = [row for row in _rows("benchmarks.coder", "--rounds", "1") if row[0] != "coder"]
    assert [row[0] for row in rows] == ["CompressAI", "constriction", "native", "native, contexts"] * 2
    for compressai, stock, native, contexts in (rows[:4], rows[4:]):
        assert stock[1] == native[1] and int(contexts[1]) < int(native[1]) <= int(compressai[1])


def test_context_coding(tmp_path):
    """fp32 and int8 of one encoder, on pictures that the receiver has no class for."""
    data = str(tmp_path / "pieces.npz")
    np.savez(data, images=np.stack(builtin(40, 224).pixels))
    words = ("--models", "ours_n0", "--target", "onnx", "--calibration", data, "--data", data)
    head, *rows = _rows("benchmarks.contexts", *words)
    assert head[5] == "contexts" and [row[1] for row in rows] == ["fp32", "int8"]
    for row in rows:
        assert float(row[5].strip("* B")) < float(row[4].split()[0]) and row[9] == ""


def test_hyperpriors(tmp_path):
    """What exactness costs in bytes: next to nothing, in the columns of the page."""
    data = str(tmp_path / "pieces.npz")
    np.savez(data, images=np.stack(builtin(4, 256).pixels))
    head, row = _rows("benchmarks.hyper", "--data", data, "--model", "bmshj2018_hyperprior", "--count", "2")
    assert head[5:7] == ["cost", "other rows"] and row[0] == "bmshj2018_hyperprior"
    assert abs(float(row[5].rstrip(" %"))) < 0.5 and float(row[4]) <= 1.005 * float(row[2])


@pytest.mark.skipif(not (SHARED / "data" / "spic").is_dir(), reason="SPIC's published files are not at hand")
def test_huffman_and_range_coding(tmp_path):
    """One row; what is drawn from the published table takes what was published for it, and less in a range coder."""
    data = str(tmp_path / "pieces.npz")
    np.savez(data, images=np.stack(builtin(8, 224).pixels))
    words = ("--data", str(SHARED / "data" / "spic"), "--pictures", data, "--others", data, "--count", "4")
    _, row = _rows("benchmarks.spic", *words, "--rows", "spic_cls_s3_3", "--others-count", "4")
    huffman, coded = (float(cell.rstrip(" B")) for cell in row[2:4])
    assert abs(huffman - 0.0910 * 224 * 224 / 8) < 0.01 * huffman and coded < 0.9 * huffman


def test_segmentation(tmp_path):
    """A picture smaller than the one that the benchmark is for."""
    data = str(tmp_path / "pieces.npz")
    np.savez(data, images=np.stack(builtin(4, 65).pixels))
    head, row = _rows("benchmarks.segmentation", "--data", data, "--models", "spic_seg_s3_5", "--size", "65")
    assert head[8] == "beside it" and row[0] == "spic_seg_s3_5" and row[8] == "0 B"
    assert float(row[4].split()[0]) > 30 and int(row[7].split()[0]) > 0


def test_start(make_bundle):
    (_, row) = _rows("benchmarks.cold", str(make_bundle("ours_n0", "tflite")), "--runs", "1")
    assert float(row[4]) > 0
