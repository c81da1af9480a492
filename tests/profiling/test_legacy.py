"""What the originals count, held against pickles that PyTorch itself makes."""

from __future__ import annotations

import pickle

import pytest

from profiling.legacy import legacy_bytes, sc2_kilobytes
from runtime.errors import UnknownName
from tests.conftest import SHARED

LATENT = (64, 28, 28)


def _sent(form: str, payload: bytes) -> object:
    import torch

    shape = torch.Size(LATENT[1:])
    half = len(payload) // 2
    return {
        "pcs": ([payload], LATENT[1:]),
        "frankensplit": ([payload], shape),
        "sc2": {"strings": [[payload]], "shape": shape},
        "sc2 hyperprior": {"strings": [[payload[:half]], [payload[half:]]], "shape": shape},
    }[form]


@pytest.mark.parametrize("form", ["pcs", "frankensplit", "sc2", "sc2 hyperprior"])
@pytest.mark.parametrize("count", [3, 255, 256, 1196, 65_000, 70_000, 200_000])
def test_lengths_are_those_of_real_pickles(form, count):
    assert legacy_bytes(form, count, LATENT) == len(pickle.dumps(_sent(form, bytes(count)), protocol=4))


def test_where_a_long_hyper_payload_is_split_does_not_matter():
    import torch

    size = torch.Size((1, 1))
    for first in (300, 700):
        sent = {"strings": [[bytes(first)], [bytes(1000 - first)]], "shape": size}
        assert legacy_bytes("sc2 hyperprior", 1000, (64, 1, 1)) == len(pickle.dumps(sent, protocol=4))


def test_a_quantised_tensor_travels_uncoded():
    assert legacy_bytes("sc2 quantised", 17, (12, 10, 10)) == 1200 + 794
    assert legacy_bytes("sc2 quantised", 900, (12, 10, 10)) == 1200 + 794


def test_kilobytes_as_sc2_counts_them():
    import sys

    string = bytes(4063)
    assert sc2_kilobytes(len(string)) == sys.getsizeof(string) / 1024 == 4


def test_an_unknown_form_is_named():
    with pytest.raises(UnknownName, match="did you mean 'pcs'"):
        legacy_bytes("pc", 1, LATENT)


@pytest.mark.skipif(not SHARED.exists(), reason="needs payloads of the original programs, which are not part of this")
def test_payloads_that_the_originals_wrote():
    import torch

    torch.serialization  # noqa: B018, the pickles name its classes
    seen = 0
    for file in [*(SHARED / "golden").glob("ours_n4*/payload*.bits"), *(SHARED / "data/pcs").glob("*.bits")]:
        content = file.read_bytes()
        strings, shape = pickle.loads(content)
        assert legacy_bytes("pcs", len(strings[0]), (64, *map(int, shape))) == len(content), file
        seen += 1
    assert seen >= 4
