"""Bundles that are not intact: the file at fault is named, and nothing outside the manifest is ever read."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.bundle import MANIFEST, TABLES, Bundle
from runtime.encoder import Encoder
from runtime.errors import BundleError, SplitportError

FILES = [
    *("README.md", "encoder.onnx", MANIFEST, TABLES),
    *("selftest/payload.spl", "selftest/picture.png", "selftest/symbols.npy"),
]


@pytest.fixture
def bundle(make_bundle: Callable[..., Path], tmp_path: Path) -> Path:
    """An intact bundle that the test may break."""
    return Path(shutil.copytree(make_bundle(), tmp_path / "bundle"))


def reseal(bundle: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest's fields and make its checksums right again, as an attacker would."""
    fields = json.loads((bundle / MANIFEST).read_bytes())
    fields["files"] = {n: hashlib.sha256((bundle / n).read_bytes()).hexdigest() for n in fields["files"]}
    blank = fields["manifest_sha256"] = "0" * 64
    change(fields)
    text = json.dumps(fields)
    (bundle / MANIFEST).write_text(text.replace(blank, hashlib.sha256(text.encode()).hexdigest()))


def refused(path: Path) -> str:
    """The message of the error that opening must give."""
    with pytest.raises(BundleError) as caught:
        Bundle.open(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_list_is_complete(bundle: Path) -> None:
    """FILES is what a bundle holds, and resealing it unchanged leaves it intact."""
    assert sorted(p.relative_to(bundle).as_posix() for p in bundle.rglob("*") if p.is_file()) == sorted(FILES)
    reseal(bundle, lambda fields: None)
    assert Bundle.open(bundle).manifest.model == "ours_n0"


@pytest.mark.parametrize("name", FILES)
def test_missing_file(bundle: Path, name: str) -> None:
    """Each file that is gone is named."""
    (bundle / name).unlink()
    message = refused(bundle)
    assert name in message and ("missing" in message or name == MANIFEST)


@pytest.mark.parametrize("name", [name for name in FILES if name != MANIFEST])
def test_flipped_byte(bundle: Path, name: str) -> None:
    """One flipped bit, first, middle or last, in any file is found and the file named."""
    whole = (bundle / name).read_bytes()
    for position in (0, len(whole) // 2, len(whole) - 1):
        damaged = bytearray(whole)
        damaged[position] ^= 1
        (bundle / name).write_bytes(damaged)
        assert f"{bundle / name} is altered" in refused(bundle)


def test_flipped_byte_in_the_manifest(bundle: Path) -> None:
    """Nowhere in the manifest, its own checksum and its whitespace included, does a flipped bit pass."""
    whole = (bundle / MANIFEST).read_bytes()
    checksum = whole.index(b"manifest_sha256")
    positions = {*range(0, len(whole), 29), *range(checksum, checksum + 90, 3), len(whole) - 1}
    for position in sorted(positions):
        for bit in (1, 0x80):
            damaged = bytearray(whole)
            damaged[position] ^= bit
            (bundle / MANIFEST).write_bytes(damaged)
            assert f"{bundle / MANIFEST} is altered" in refused(bundle)


@pytest.mark.parametrize(
    "content",
    [b"", b"null", b"[]", b"7", b'{"files": {}}', b"{" * 10, b"[" * 100_000, b"\xff\xfe",
     b'{"manifest_sha256": ""}', b'{"manifest_sha256": 3, "files": {}}', b'{"manifest_sha256": "", "files": []}'],
    ids=lambda content: repr(content[:40]),
)  # fmt: skip
def test_manifest_of_something_else(bundle: Path, content: bytes) -> None:
    """Whatever stands where the manifest should, deeply nested JSON included, is called altered."""
    (bundle / MANIFEST).write_bytes(content)
    assert f"{bundle / MANIFEST} is altered" in refused(bundle)


@pytest.mark.parametrize("name", ["../outside", "selftest/../../outside", "/etc/hostname", "..\\outside", ".."])
def test_file_outside(bundle: Path, name: str) -> None:
    """A manifest cannot make the runtime read a file outside its bundle, even one that matches."""
    outside = bundle.parent / "outside"
    outside.write_bytes(b"secret")
    reseal(bundle, lambda fields: fields["files"].update({name: hashlib.sha256(b"secret").hexdigest()}))
    assert f"{name!r}, which is not inside the bundle" in refused(bundle)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", 3), ("model", None), ("side", "both"), ("side", []), ("target", ["onnx"]),
        ("precision", True), ("size", "224"), ("size", 0), ("size", True), ("size", 224.5),
        ("size", 1 << 20), ("latent_shape", [64, 28]), ("latent_shape", "abc"),
        ("latent_shape", [64, -1, 28]), ("nominal_grid", None), ("nominal_grid", {}), ("graph", 0),
        ("mean", [1, 2]), ("mean", ["a", "b", "c"]), ("mean", "123"), ("std", None),
        ("codec", ["x"]), ("codec_parameters", []), ("parameters", "many"), ("bits", 1.5),
        ("weights", None), ("class_names", "abc"), ("checkpoint_sha256", 5), ("calibration", "yes"),
        ("parity", None), ("tools", []),
    ],
)  # fmt: skip
def test_wrong_type_of_field(bundle: Path, field: str, value: object) -> None:
    """A manifest whose checksum is right but whose fields are not of their kinds is not half understood."""
    reseal(bundle, lambda fields: fields.update({field: value}))
    assert "field of the wrong kind" in refused(bundle)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.update(schema=2), "schema is not 1"),
        (lambda f: f.pop("schema"), "schema is not 1"),
        (lambda f: f.update(surprise=1), "missing or unknown: surprise"),
        (lambda f: f.pop("codec"), "missing or unknown: codec"),
        (lambda f: f["files"].pop("encoder.onnx"), "does not list 'encoder.onnx'"),
        (lambda f: f["files"].pop(TABLES), f"does not list '{TABLES}'"),
        (lambda f: f.update(graph="../other/encoder.onnx"), "does not list '../other/encoder.onnx'"),
        (lambda f: f["files"].update({"encoder.onnx": 7}), "altered"),
        (lambda f: f["files"].update({"": "0" * 64}), "missing"),
        (lambda f: f["files"].update({"a\0b": "0" * 64}), "missing"),
    ],
)
def test_manifest_that_says_too_much_or_too_little(
    bundle: Path, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    """Another schema, unknown or absent fields, and files that would be opened unverified are refused."""
    reseal(bundle, change)
    assert said in refused(bundle)


@pytest.mark.parametrize("name", ["encoder.onnx", TABLES])
@pytest.mark.parametrize("content", [b"", b"noise" * 100])
def test_resealed_rubbish(bundle: Path, name: str, content: bytes) -> None:
    """A graph or tables of rubbish under right checksums still give a typed error that names them."""
    (bundle / name).write_bytes(content)
    reseal(bundle, lambda fields: None)
    with pytest.raises(SplitportError, match=re.escape(name)) as caught:
        Encoder.open(bundle)
    assert "\n" not in str(caught.value)


def test_tables_of_another_width(bundle: Path) -> None:
    """Tables for another number of channels than the graph puts out are noticed before anything runs."""
    reseal(bundle, lambda fields: fields.update(latent_shape=[32, 28, 28]))
    with pytest.raises(BundleError, match=r"64 channels.*32"):
        Encoder.open(bundle)


def test_unknown_codec_and_target(bundle: Path) -> None:
    """A bundle from a newer version says what this one lacks."""
    for field in ("codec", "target"):
        reseal(bundle, lambda fields, field=field: fields.update({field: "newer"}))
        with pytest.raises(SplitportError, match="'newer'"):
            Encoder.open(bundle)


class _Trap:
    """Makes a directory when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.witness),)


def test_stray_pickle_is_never_loaded(bundle: Path, tmp_path: Path, pixels: list) -> None:
    """Files that the manifest does not list may lie there, pickles among them; nothing opens them."""
    witness = tmp_path / "witness"
    for name in ("tables.pkl", "model.pt", "selftest/symbols.pkl"):
        (bundle / name).write_bytes(pickle.dumps(_Trap(witness)))
    assert Encoder.open(bundle).encode(pixels[0])
    assert not witness.exists()


def test_pickled_symbols_are_never_loaded(bundle: Path, tmp_path: Path) -> None:
    """A .npy file can hold a pickle; a bundle whose self-test does is refused, resealed or not."""
    import numpy as np

    from runtime import selftest

    witness = tmp_path / "witness"
    np.save(bundle / "selftest" / "symbols.npy", np.array([_Trap(witness)], dtype=object), allow_pickle=True)
    reseal(bundle, lambda fields: None)
    with pytest.raises(BundleError, match="selftest"):
        selftest.run(Encoder.open(bundle))
    assert not witness.exists()


def test_not_a_bundle(tmp_path: Path) -> None:
    """A file, an empty directory and a missing path say what a bundle would have."""
    file = tmp_path / "file"
    file.write_bytes(b"x")
    empty = tmp_path / "empty"
    empty.mkdir()
    for path in (file, empty, tmp_path / "absent"):
        assert f"{path} is not a bundle: it has no {MANIFEST}; make one" in refused(path)
