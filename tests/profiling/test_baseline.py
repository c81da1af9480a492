"""The original path measured: it codes what CompressAI codes, and pickles what the originals send."""

from __future__ import annotations

import pickle
import sys

import numpy as np
import pytest

from encoders.original import OriginalEncoding, want
from profiling import records
from profiling.commands import main
from runtime.errors import UsageError


@pytest.fixture(scope="module")
def both(make_bundle, photographs, tmp_path_factory):
    """The original and our bundle of one model, by turns, through the command line."""
    output = tmp_path_factory.mktemp("baseline") / "results.jsonl"
    words = ["--images", str(photographs[0].parent), "--runs", "12", "--threads", "1", "--device-name", "bench"]
    beside = ["--beside", str(make_bundle("ours_n4", "onnx"))]
    assert main(["baseline", "--model", "ours_n4", *beside, *words, "-o", str(output)]) == 0
    return output


def test_both_are_rows_of_one_table(both, capsys):
    original, ours = records.read(both).records
    assert (original.target, original.coder) == ("torch", "compressai") and original.engine.startswith("torch ")
    assert original.weights == ours.weights and original.macs == ours.macs == 488_112_128
    assert original.encoder_bits == original.encoder_bits_fp32 == ours.encoder_bits_fp32 == 19_953_664
    assert original.wire_bytes == original.legacy_bytes
    assert original.wire_bytes["mean"] == original.payload_bytes["mean"] + 29
    assert ours.legacy_bytes["mean"] == ours.payload_bytes["mean"] + 29
    assert main(["report", str(both)]) == 0
    out = capsys.readouterr().out
    assert "| ours_n4 |" in out and "| torch fp32 |" in out and "| onnx fp32 |" in out


@pytest.mark.parametrize("model", ["ours_n0", "entropic_student_resnet50", "mshp_resnet50", "shp_resnet50"])
def test_what_it_sends_decodes_to_the_symbols_of_the_network(model, pixels):
    """CompressAI itself reads the strings back: they hold what the network put out, rounded."""
    import torch

    encoding = want(model, 1, "bench").opening()
    sent, timing = encoding.encode(pixels[0])
    assert set(timing) == {"preprocess", "network", "code", "container"} and min(timing.values()) > 0
    made = pickle.loads(sent)
    strings, shape = (made["strings"], made["shape"]) if isinstance(made, dict) else ([made[0]], made[1])
    loaded = encoding._loaded.model
    with torch.no_grad():
        latents = encoding._network(encoding._to_tensor(pixels[0]).unsqueeze(0))
        medians = loaded.prior.quantiles[:, 0, 1].view(1, -1, 1, 1)
        read = loaded.prior.decompress(strings[-1], torch.Size(shape))
        assert torch.equal(read, torch.round(latents[-1] - medians) + medians)
        if len(strings) == 2:
            coder = loaded.coder
            told = coder.h_s(read)
            scales, means = told.chunk(2, 1) if loaded.means else (told, torch.zeros(()))
            indexes = coder.gaussian_conditional.build_indexes(scales)
            y = coder.gaussian_conditional.decompress(strings[0], indexes, means=means if loaded.means else None)
            assert torch.equal(y, torch.round(latents[0] - means) + means)
    payload, wire, legacy = encoding.count(sent)
    assert payload == sum(len(each[0]) for each in strings) and wire == legacy == len(sent)


def test_models_that_pickle_nothing_send_bare_strings():
    encoding = want("bmshj2018_factorized", 1, "bench").opening()
    sent, _ = encoding.encode(np.zeros((256, 256, 3), np.uint8))
    assert encoding.count(sent) == (len(sent), len(sent), None)
    assert isinstance(encoding, OriginalEncoding)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "ours_n5"], "did you mean"),
        (["--model", "spic_cls_s1_0"], "has no CompressAI coder"),
        (["--model", "crbq_resnet50_c12"], "has no CompressAI coder"),
        (["--model", "ours_n4", "--checkpoint", "missing.pt"], "missing.pt is no checkpoint file"),
        (["--model", "ours_n4", "--weights", "lmb9"], "lmb9"),
    ],
)
def test_bad_requests(words, message, photographs, tmp_path, capsys):
    output = tmp_path / "results.jsonl"
    assert main(["baseline", *words, "--images", str(photographs[0]), "-o", str(output)]) == 2
    (error,) = capsys.readouterr().err.strip().splitlines()
    assert message in error and not output.exists()


def test_without_pytorch_it_says_what_to_install(photographs, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "encoders.original", None)
    assert main(["baseline", "--model", "ours_n4", "--images", str(photographs[0]), "-o", str(tmp_path / "x")]) == 2
    assert "pip install 'splitport[export]'" in capsys.readouterr().err
    with pytest.raises(UsageError):
        want("spic_cls_s1_0", None, "bench")
