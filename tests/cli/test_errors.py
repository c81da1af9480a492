"""Whatever is wrong with a request: one line that says so, the right exit code, nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runtime.bundle import Bundle

ROOT = Path(__file__).resolve().parents[2]
FAILED, BAD_USAGE = 1, 2


@pytest.fixture
def places(make_bundle: Callable[..., Path], tmp_path: Path, picture: Path) -> dict[str, Path]:
    """What the argument lists below name in braces."""
    bundle = make_bundle()
    (tmp_path / "text.jpg").write_text("not a picture\n")
    (tmp_path / "text.spl").write_text("not a payload\n")
    (tmp_path / "cut.spl").write_bytes((bundle / "selftest" / "payload.spl").read_bytes()[:-1])
    (tmp_path / "noise.pt").write_bytes(bytes(range(256)))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("irreplaceable")
    (tmp_path / "empty").mkdir()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "fine.jpg").write_bytes(picture.read_bytes())
    return {
        "bundle": bundle, "other": make_bundle("ours_n4"), "payload": bundle / "selftest" / "payload.spl",
        "picture": picture, "tmp": tmp_path, "out": tmp_path / "deep" / "out",
    }  # fmt: skip


RUNTIME = [
    ("", BAD_USAGE, "COMMAND"),
    ("encod", BAD_USAGE, "invalid choice: 'encod'"),
    ("encode", BAD_USAGE, "required: bundle, PICTURE, -o/--output"),
    ("encode {bundle} -o {out}", BAD_USAGE, "required: PICTURE"),
    ("encode {bundle} {picture}", BAD_USAGE, "required: -o/--output"),
    ("encode {bundle} {picture} -o {out} --surprise", BAD_USAGE, "unrecognized arguments: --surprise"),
    (
        "encode {bundle} {picture} -o {out} --engine onnxruntim",
        BAD_USAGE,
        "did you mean 'onnxruntime'? Known: exec",
    ),
    (
        "encode {bundle} {picture} -o {out} --engine litert",
        FAILED,
        "cannot run onnx bundles; these can: onnxruntime",
    ),
    (
        "encode {bundle} {picture} -o {out} --coder nativ",
        BAD_USAGE,
        "unknown coder 'nativ'; did you mean 'native'?",
    ),
    ("encode {bundle} {picture} -o {out} --threads 0", BAD_USAGE, "threads must be at least 1, not 0"),
    ("encode {bundle} {picture} -o {out} --threads two", BAD_USAGE, "invalid int value: 'two'"),
    ("encode {bundle} {picture} {tmp}/sub/fine.jpg -o {out}", BAD_USAGE, "would both become"),
    ("encode {tmp}/absent {picture} -o {out}", FAILED, "absent is not a bundle"),
    ("encode {tmp}/empty {picture} -o {out}", FAILED, "empty is not a bundle"),
    ("encode {bundle} {tmp}/absent.jpg -o {out}", FAILED, "absent.jpg: it does not exist"),
    ("encode {bundle} {tmp}/text.jpg -o {out}", FAILED, "text.jpg is not a picture"),
    ("encode {bundle} {tmp}/empty -o {out}", FAILED, "empty: it is not a file"),
    (
        "encode {bundle} {picture} -o {picture}/below",
        FAILED,
        "cannot write {picture}/below/fine.spl: Not a directory",
    ),
    ("encode {bundle} {picture} -o {picture}", FAILED, "cannot write {picture}/fine.spl"),
    (
        "encode {bundle} {picture} -o /proc/splitport",
        FAILED,
        "cannot write /proc/splitport/fine.spl: No such file",
    ),
    ("decode {bundle} -o {out}", BAD_USAGE, "required: PAYLOAD"),
    ("decode {bundle} {tmp}/absent.spl -o {out}", FAILED, "absent.spl: No such file or directory"),
    ("decode {bundle} {tmp}/empty -o {out}", FAILED, "empty: Is a directory"),
    ("decode {bundle} {tmp}/text.spl -o {out}", FAILED, "text.spl: begins with b'no', not b'SP'"),
    ("decode {bundle} {tmp}/cut.spl -o {out}", FAILED, "cut.spl: checksum differs"),
    ("decode {bundle} {payload} -o {picture}/below", FAILED, "cannot write {picture}/below/payload.npy"),
    ("decode {bundle} {payload} -o {out} --tables {other}", FAILED, "is for ours_n4, not ours_n0"),
    ("decode {bundle} {payload} -o {out} --coder referense", BAD_USAGE, "did you mean 'reference'?"),
    ("predict {bundle}", BAD_USAGE, "required: PAYLOAD"),
    ("predict {bundle} {payload}", FAILED, "is an encoder bundle; predicting needs a receiver bundle"),
    ("predict {bundle} {payload} --top 0", BAD_USAGE, "at least 1"),
    ("selftest {tmp}/taken", FAILED, "taken is not a bundle"),
    ("inspect {tmp}/absent", FAILED, "absent: No such file or directory"),
    ("inspect {tmp}/text.spl", FAILED, "this is not a splitport payload"),
    ("inspect {tmp}/cut.spl", FAILED, "damaged or cut short"),
    ("inspect {tmp}/empty", FAILED, "empty is not a bundle"),
]

N0 = "--model ours_n0 --target onnx"
EXPORT = [
    ("", BAD_USAGE, "give --model and --target"),
    ("--model ours_n0", BAD_USAGE, "give --model and --target"),
    ("--target onnx", BAD_USAGE, "give --model and --target"),
    ("--model ours_n5 --target onnx", BAD_USAGE, "unknown model 'ours_n5'; did you mean 'ours_n"),
    (
        "--model ours_n0 --target tflit",
        BAD_USAGE,
        "unknown target 'tflit'; did you mean 'tflite'? Known: executorch",
    ),
    (N0 + " --precision int4", BAD_USAGE, "int4"),
    (N0 + " --precision fp61", BAD_USAGE, "did you mean 'fp16'?"),
    (N0 + " --size 225", BAD_USAGE, "must be a multiple of 8, for example 224 or 232"),
    (N0 + " --size 0", BAD_USAGE, "size 0 does not fit ours_n0"),
    (N0 + " --size -8", BAD_USAGE, "size -8 does not fit ours_n0"),
    (N0 + " --size big", BAD_USAGE, "invalid int value: 'big'"),
    (N0 + " --side sender", BAD_USAGE, "invalid choice: 'sender'"),
    ("--model ours_n0 --side receiver --target tflite", BAD_USAGE, "receiver side; these do: onnx, openvino"),
    (N0 + " --checkpoint {tmp}/absent.pt --output {out}", BAD_USAGE, "absent.pt is not a file"),
    (N0 + " --checkpoint {tmp}/empty --output {out}", BAD_USAGE, "empty is not a file"),
    (N0 + " --checkpoint {tmp}/noise.pt --output {out}", FAILED, "noise.pt"),
    (
        N0 + " --calibration {tmp}/absent --output {out}",
        BAD_USAGE,
        "absent is neither a picture nor a folder of pictures",
    ),
    (N0 + " --calibration {tmp}/empty --output {out}", BAD_USAGE, "empty holds no pictures"),
    (N0 + " --output {tmp}/taken", FAILED, "taken exists and is not a bundle; move it away or"),
    (N0 + " --output {picture}", FAILED, "fine.png exists and is not a bundle"),
    (
        N0 + " --output {picture}/below",
        FAILED,
        "cannot write {picture}/below: Not a directory; choose another",
    ),
    (N0 + " --output /proc/splitport/out", FAILED, "cannot write /proc/splitport/out: No such file"),
]

CASES = [("runtime", *case) for case in RUNTIME] + [("export", *case) for case in EXPORT]


@pytest.mark.parametrize(("program", "arguments", "code", "said"), CASES)
def test_one_line_and_exit_code(
    call: Callable,
    places: dict[str, Path],
    listing: Callable,
    program: str,
    arguments: str,
    code: int,
    said: str,
) -> None:
    """The line says what is wrong, nothing goes to stdout, and the directory is as it was."""
    before = listing()
    outcome = call(program, *arguments.format(**places).split())
    assert (outcome.code, outcome.out) == (code, ""), outcome
    assert outcome.err.count("\n") == 1 and outcome.err.startswith(f"python -m {program}")
    assert said.format(**places) in outcome.err
    assert listing() == before


@pytest.mark.parametrize(
    ("program", "arguments", "code", "error"),
    [
        ("runtime", "inspect {tmp}/empty", FAILED, "BundleError"),
        ("runtime", "inspect {tmp}/absent", FAILED, "FileNotFoundError"),
        ("runtime", "encode {bundle} {picture} -o {out} --coder nativ", BAD_USAGE, "UnknownName"),
        ("export", "--model ours_n5 --target onnx", BAD_USAGE, "UnknownName"),
    ],
)
def test_json_and_debug(
    call: Callable, places: dict[str, Path], program: str, arguments: str, code: int, error: str
) -> None:
    """--json adds one object on stdout; --debug puts a traceback in the place of the line; the code stays."""
    words = arguments.format(**places).split()
    outcome = call(program, *words, "--json")
    told = json.loads(outcome.out)
    assert (outcome.code, told["ok"], told["error"]) == (code, False, error)
    assert outcome.err == f"python -m {program}: {told['message']}\n"

    outcome = call(program, *words, "--debug")
    assert outcome.code == code and outcome.out == ""
    assert outcome.err.startswith("Traceback (most recent call last)") and error in outcome.err.splitlines()[-1]


def test_one_broken_among_many(call: Callable, places: dict[str, Path]) -> None:
    """The intact pictures and payloads are worked off, the broken one is named, and the exit code says so."""
    tmp, out = places["tmp"], places["out"]
    given = [places["picture"], tmp / "text.jpg", tmp / "sub" / "fine.jpg"]
    given[2] = given[2].rename(tmp / "second.jpg")
    outcome = call("runtime", "encode", places["bundle"], *given, "-o", out)
    assert outcome.code == FAILED and sorted(p.name for p in out.iterdir()) == ["fine.spl", "second.spl"]
    assert outcome.err.count("\n") == 1 and "text.jpg is not a picture" in outcome.err
    assert outcome.out.count("payload bytes") == 2

    payloads = [out / "fine.spl", tmp / "text.spl", out / "second.spl"]
    outcome = call("runtime", "decode", places["bundle"], *payloads, "-o", out, "--json")
    told = json.loads(outcome.out)
    assert outcome.code == FAILED and not told["ok"]
    assert [Path(a["array"]).name for a in told["arrays"]] == ["fine.npy", "second.npy"]
    assert len(told["failures"]) == 1 and str(tmp / "text.spl") in told["failures"][0]
    assert sorted(p.name for p in out.iterdir()) == ["fine.npy", "fine.spl", "second.npy", "second.spl"]


def test_payload_of_another_model(call: Callable, places: dict[str, Path]) -> None:
    """Both table ids are in the message: what the payload wants, and what is at hand."""
    mine, its = (Bundle.open(places[name]).tables.id.hex() for name in ("other", "bundle"))
    assert mine != its
    outcome = call("runtime", "decode", places["other"], places["payload"], "-o", places["out"])
    assert outcome.code == FAILED and outcome.err.count("\n") == 1
    assert f"payload.spl: coded with tables {its}; at hand: {mine}. Give the sender's bundle" in outcome.err


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (
            RuntimeError("operator Frobnicate\nis not there\n"),
            "the converter failed on ours_n0: operator Frobnicate (see",
        ),
        (MemoryError(), "the converter failed on ours_n0: MemoryError (see"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (KeyboardInterrupt(), "interrupted"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("existing", [False, True], ids=["new", "over an old one"])
def test_conversion_fails_midway(
    call: Callable, places: dict[str, Path], listing: Callable, monkeypatch: pytest.MonkeyPatch,
    raised: BaseException, said: str, existing: bool,
) -> None:  # fmt: skip
    """A converter that has written half its file leaves nothing; an older bundle of that name stays."""
    written = []

    def convert(module: object, example: object, precision: str, directory: Path, stem: str) -> str:
        written.append(directory / "half.onnx")
        written[0].write_bytes(b"half a graph")
        raise raised

    monkeypatch.setattr("export.targets.onnx.convert", convert)
    if existing:
        places["out"].parent.mkdir()
        shutil.copytree(places["bundle"], places["out"])
    before = listing()
    outcome = call("export", *N0.split(), "--output", places["out"])
    assert outcome.code == FAILED and outcome.err.count("\n") == 1 and said in outcome.err
    assert written and not written[0].exists()
    assert listing() == before


def test_rename_fails(
    call: Callable, make_bundle: Callable, listing: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """When the finished bundle cannot take its place, the older one gets its name back."""
    target = tmp_path / "old"
    shutil.copytree(make_bundle(), target)
    before = listing()
    real = Path.rename

    def rename(self: Path, to: Path) -> Path:
        if to == target and not self.name.endswith("-old"):
            raise OSError(5, "Input/output error")
        return real(self, to)

    monkeypatch.setattr(Path, "rename", rename)
    outcome = call("export", *N0.split(), "--output", target)
    assert outcome.code == FAILED and f"cannot write {target}: Input/output error" in outcome.err
    assert listing() == before


def test_export_over_an_old_bundle(call: Callable, tmp_path: Path, make_bundle: Callable[..., Path]) -> None:
    """A bundle of that name is replaced whole: not a file of the old one stays."""
    target = tmp_path / "bundle"
    shutil.copytree(make_bundle("ours_n4"), target)
    (target / "stray").write_bytes(b"old")
    assert call("export", *N0.split(), "--output", target).code == 0
    assert Bundle.open(target).manifest.model == "ours_n0"
    assert not (target / "stray").exists() and [p.name for p in tmp_path.iterdir()] == ["bundle"]


@pytest.fixture
def process() -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Runs a program for real."""

    def run(*command: object, **more: object) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, *map(str, command)]
        return subprocess.run(words, cwd=ROOT, text=True, timeout=120, check=False, capture_output=True, **more)

    return run


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("runtime inspect {tmp}/absent", FAILED, "runtime: {tmp}/absent: No such file or directory"),
        ("runtime encode {bundle} {tmp}/text.jpg -o {out}", FAILED, "text.jpg is not a picture that Pillow can"),
        ("runtime decode {other} {payload} -o {out}", FAILED, "at hand:"),
        ("export --model ours_n0 --target tflite --side receiver", BAD_USAGE, "these do: onnx, openvino"),
        (f"export {N0} --checkpoint {{tmp}}/noise.pt --output {{out}}", FAILED, "noise.pt"),
    ],
)  # fmt: skip
def test_real_process(process: Callable, places: dict[str, Path], arguments: str, code: int, said: str) -> None:
    """In a process of its own, what libraries print when they are imported does not reach the user either."""
    done = process("-m", *arguments.format(**places).split())
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.count("\n") == 1 and said.format(**places) in done.stderr


def test_unprintable_name_and_closed_pipe(process: Callable, places: dict[str, Path]) -> None:
    """A name outside the terminal's encoding is escaped, and a reader that goes away is no error."""
    odd = places["picture"].rename(os.fsdecode(os.fsencode(places["tmp"]) + b"/na\xefve.png"))
    strict = {**os.environ, "PYTHONIOENCODING": "ascii:strict"}
    done = process("-m", "runtime", "encode", places["bundle"], odd, "-o", places["out"], env=strict)
    assert (done.returncode, done.stderr) == (0, "") and r"na\udcefve.spl" in done.stdout
    line = f"{sys.executable} -m runtime inspect {places['bundle']} | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
