"""Every command doing what it is for, for people and with --json."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runtime import launcher
from runtime.bundle import Bundle
from runtime.coder import CODERS
from runtime.encoder import Decoder, Encoder
from runtime.engines import ENGINES
from runtime.payload import HEADER_BYTES
from runtime.preprocess import to_pixels


@pytest.fixture(scope="module")
def payload(
    make_bundle: Callable[..., Path], photographs: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A payload of a photograph, made through the Python interface."""
    path = tmp_path_factory.mktemp("payload") / "china.spl"
    path.write_bytes(Encoder.open(make_bundle()).encode(photographs[0]))
    return path


@pytest.mark.parametrize("coder", [None, *CODERS])
def test_encode(
    call: Callable,
    make_bundle: Callable[..., Path],
    photographs: list[Path],
    tmp_path: Path,
    coder: str | None,
) -> None:
    """Files hold what the Python interface gives, whichever coder; the JSON tells bytes and milliseconds."""
    bundle = make_bundle()
    encoder, more = Encoder.open(bundle), ["--coder", coder] if coder else []
    outcome = call("runtime", "encode", bundle, *photographs, "-o", tmp_path / "out", "--threads", 1, *more, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    told = json.loads(outcome.out)
    assert told["ok"] and len(told["payloads"]) == 2
    for entry, photograph in zip(told["payloads"], photographs, strict=True):
        written = Path(entry["payload"])
        assert written == tmp_path / "out" / f"{photograph.stem}.spl" and entry["picture"] == str(photograph)
        assert written.read_bytes() == encoder.encode(photograph)
        assert entry["wire_bytes"] == entry["payload_bytes"] + HEADER_BYTES == written.stat().st_size
        stages = entry["ms"]
        total = stages.pop("total")
        assert set(stages) == {"preprocess", "network", "code", "container"}
        assert total == pytest.approx(sum(stages.values())) and min(stages.values()) > 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["china.spl", "flower.spl"]


def test_encode_for_people(call: Callable, make_bundle: Callable[..., Path], picture: Path, tmp_path: Path) -> None:
    """One line for each picture names file, bytes and time; encoding again overwrites."""
    for _ in range(2):
        outcome = call("runtime", "encode", make_bundle(), picture, "-o", tmp_path)
        size = (tmp_path / "fine.spl").stat().st_size
        assert outcome.out.startswith(
            f"{tmp_path / 'fine.spl'}  {size - HEADER_BYTES} payload bytes ({size} on the wire)"
        )
        assert re.search(r" ms \(preprocess [\d.]+, network [\d.]+, code [\d.]+\)\n$", outcome.out)
        assert outcome.out.count("\n") == 1


def test_encode_compares_with_what_one_would_send_otherwise(call, make_bundle, photographs, tmp_path):
    """JPEG and PNG of the very pixels that were encoded."""
    outcome = call("runtime", "encode", make_bundle(), photographs[1], "-o", tmp_path, "--compare", "--json")
    (told,) = json.loads(outcome.out)["payloads"]
    image = Image.fromarray(to_pixels(photographs[1], 224))
    for name, options in {"JPEG (quality 75)": {"format": "jpeg", "quality": 75}, "PNG": {"format": "png"}}.items():
        file = io.BytesIO()
        image.save(file, optimize=True, **options)
        assert told["compared_bytes"][name] == file.tell()
    text = call("runtime", "encode", make_bundle(), photographs[1], "-o", tmp_path, "--compare").out.splitlines()
    ratio = told["compared_bytes"]["PNG"] / told["payload_bytes"]
    assert len(text) == 3 and text[2].startswith("  PNG of the same pixels") and f" {ratio:.1f} times" in text[2]


@pytest.mark.parametrize(("more", "dtype"), [([], np.int32), (["--latent"], np.float32)])
def test_decode(
    call: Callable,
    make_bundle: Callable[..., Path],
    payload: Path,
    tmp_path: Path,
    more: list[str],
    dtype: type,
) -> None:
    """The .npy file holds the symbols or the latent, and loads without pickle."""
    decoder, data = Decoder.open(make_bundle()), payload.read_bytes()
    outcome = call("runtime", "decode", make_bundle(), payload, "-o", tmp_path, *more)
    array = np.load(tmp_path / "china.npy", allow_pickle=False)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == f"{tmp_path / 'china.npy'}  {np.dtype(dtype)} 64x28x28\n"
    assert array.dtype == dtype
    np.testing.assert_array_equal(array, decoder.latent(data) if more else decoder.symbols(data))


def test_predict(call: Callable, make_bundle: Callable[..., Path], payload: Path) -> None:
    """Class names with falling probabilities, --top of them."""
    outcome = call("runtime", "predict", make_bundle(side="receiver"), payload, "--top", 3)
    source, *ranked = outcome.out.splitlines()
    assert (outcome.code, outcome.err) == (0, "") and source == str(payload) and len(ranked) == 3
    told = json.loads(call("runtime", "predict", make_bundle(side="receiver"), payload, "--json").out)
    assert "shipped" in told["weights"] and len(told["predictions"][0]["ranked"]) == 5
    assert [line.split("%  ")[1] for line in ranked] == [name for name, _ in told["predictions"][0]["ranked"][:3]]


def test_predict_says_so_where_weights_are_not_trained(
    call: Callable, make_bundle: Callable[..., Path], photographs: list[Path], tmp_path: Path
) -> None:
    """And the paper's receiver knows ImageNet's classes."""
    sender, receiver = make_bundle(weights="seeded"), make_bundle(side="receiver", weights="seeded")
    call("runtime", "encode", sender, photographs[0], "-o", tmp_path)
    payload = tmp_path / "china.spl"
    first, *_, last = call("runtime", "predict", receiver, payload, "--top", 1, "--tables", sender).out.splitlines()
    ranked = [last]
    assert first == "weights: seeded (seed 0), not trained"
    told = json.loads(call("runtime", "predict", receiver, payload, "--top", 1000, "--json").out)
    names, odds = zip(*told["predictions"][0]["ranked"], strict=True)
    assert sum(odds) == pytest.approx(1) and list(odds) == sorted(odds, reverse=True)
    assert len(set(names)) > 990 and ranked[0].endswith(f"  {names[0]}")


def test_receiver_bundles_elsewhere(call: Callable, make_bundle: Callable[..., Path], picture: Path) -> None:
    """A receiver bundle has no self-test beyond its files, and cannot encode."""
    receiver = make_bundle(side="receiver")
    assert "files: intact" in call("runtime", "selftest", receiver).out
    outcome = call("runtime", "encode", receiver, picture, "-o", picture.parent)
    assert outcome.code == 1 and "is a receiver bundle; encoding needs an encoder bundle" in outcome.err


def test_selftest(call: Callable, make_bundle: Callable[..., Path]) -> None:
    """An intact bundle passes on the machine that made it."""
    outcome = call("runtime", "selftest", make_bundle())
    assert outcome.code == 0 and outcome.out.endswith("self-test passed\n") and "NO" not in outcome.out
    told = json.loads(call("runtime", "selftest", make_bundle(), "--coder", "reference", "--json").out)
    assert told["passed"] and told["decoded"] and told["encoded"] and told["coder"] == "reference"
    assert told["agreement"] == 1.0


def test_selftest_fails(call: Callable, make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    """A bundle whose stored symbols are not what its graph gives fails, with 1 and a line that says so."""
    from runtime.bundle import seal

    bundle = tmp_path / "bundle"
    shutil.copytree(make_bundle(), bundle)
    stored = bundle / "selftest" / "symbols.npy"
    np.save(stored, np.load(stored) + np.int16(1))
    seal(bundle, Bundle.open(make_bundle()).manifest)
    outcome = call("runtime", "selftest", bundle)
    assert outcome.code == 1 and "self-test FAILED" in outcome.out
    assert outcome.err == f"python -m runtime: {bundle} does not work on this machine as it did at export\n"


def test_inspect_bundle(call: Callable, make_bundle: Callable[..., Path]) -> None:
    """What the manifest says, and the table id that payloads carry."""
    bundle = Bundle.open(make_bundle())
    told = json.loads(call("runtime", "inspect", bundle.path, "--json").out)
    assert told["model"] == "ours_n0" and told["target"] == "onnx" and told["latent_shape"] == [64, 28, 28]
    assert told["table_id"] == bundle.tables.id.hex() and told["tables"].startswith("64 channels")
    text = call("runtime", "inspect", bundle.path).out
    assert "all files intact" in text and "ours_n0" in text and len(text.splitlines()) == len(told) - 1


def test_inspect_payload(call: Callable, make_bundle: Callable[..., Path], payload: Path) -> None:
    """Header fields, without any bundle."""
    told = json.loads(call("runtime", "inspect", payload, "--json").out)
    assert told["table_id"] == Bundle.open(make_bundle()).tables.id.hex() and told["version"] == 1
    assert told["wire_bytes"] == payload.stat().st_size == told["payload_bytes"] + HEADER_BYTES
    assert told["crc32"] == payload.read_bytes()[8:12][::-1].hex()
    assert "the manifest's" in call("runtime", "inspect", payload).out


def test_doctor(call: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names every coder and engine, and for a missing one the command that installs it."""
    told = json.loads(call("runtime", "doctor", "--json").out)
    assert set(told["engines"]) == set(ENGINES) and told["engines"]["onnxruntime"]["version"]
    assert told["coders"][-1] == "reference"
    monkeypatch.setattr("runtime.coder._load", lambda name, _: object if name == "reference" else None)
    monkeypatch.setattr("runtime.engines.EngineSpec.version", None)
    outcome = call("runtime", "doctor")
    assert outcome.code == 0 and "native is missing" in outcome.out and "no engine: decoding works" in outcome.out
    assert all(engine.install in outcome.out for engine in ENGINES.values())


def test_export(call: Callable, tmp_path: Path, photographs: list[Path]) -> None:
    """With real pictures and another size: report and manifest agree, and the bundle passes its test."""
    arguments = [
        "--model",
        "ours_n0",
        "--target",
        "onnx",
        "--size",
        64,
        "--calibration",
        photographs[0].parent,
    ]
    outcome = call("export", *arguments, "--output", tmp_path / "small", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    (told,) = json.loads(outcome.out)["bundles"]
    manifest = Bundle.open(told["path"]).manifest
    assert manifest.size == 64 and manifest.latent_shape == (64, 8, 8) and manifest.nominal_grid == (28, 28)
    assert manifest.calibration["count"] == 2 and told["parity"] == manifest.parity
    assert told["graph_bytes"] == (tmp_path / "small" / "encoder.onnx").stat().st_size
    assert call("runtime", "selftest", tmp_path / "small").code == 0


def test_export_list(call: Callable) -> None:
    """The table has a row for every registered model and target."""
    from encoders.registry import MODELS
    from export.targets import TARGETS

    outcome = call("export", "--list")
    rows = [line.split(" | ")[0].strip("| ") for line in outcome.out.splitlines()]
    assert outcome.code == 0 and {*MODELS, *TARGETS} <= set(rows)
    assert json.loads(call("export", "--list", "--json").out)["models"] == sorted(MODELS)


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (["doctor"], "coders", 0),
        (["export", "--list"], "| ours_n0 |", 0),
        (["--help"], "usage: splitport {export,", 0),
        ([], "usage: splitport {export,", 0),
        (["encode"], "splitport encode: the following arguments are required", 2),
        (["export", "--model", "x", "--target", "onnx"], "unknown model 'x'", 2),
    ],
    ids=["doctor", "export list", "help", "nothing", "bad encode", "bad export"],
)
def test_launcher(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], words: list[str], said: str, code: int
) -> None:
    """The installed command hands over to the package that the first word names, with its exit code."""
    monkeypatch.setattr(sys, "argv", ["splitport", *words])
    try:
        result = launcher.main()
    except SystemExit as stop:
        result = stop.code
    out, err = capfd.readouterr()
    assert result == code and said in (err if code else out)
    assert err.count("\n") == (1 if code else 0)
