"""The wheels: small, for old systems, the same every time, and enough for a device without a compiler."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> dict[str, Path]:
    """What ``make wheels`` builds, by distribution and architecture."""
    output = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "deploy.wheels", "-o", str(output)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    kinds = {"aarch64": "device-aarch64", "x86_64": "device-x86_64", "any": "workstation"}
    return {kind: path for path in output.iterdir() for tag, kind in kinds.items() if f"{tag}.whl" in path.name}


def _metadata(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        return message_from_string(archive.read(name).decode())


@pytest.mark.parametrize("kind", ["device-aarch64", "device-x86_64"])
def test_a_device_gets_the_runtime_and_the_profiler(wheels, kind):
    wheel = wheels[kind]
    assert wheel.name == f"splitport_runtime-0.1.0-py3-none-manylinux_2_17_{kind[7:]}.whl"
    assert wheel.stat().st_size < 1 << 20
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {"runtime", "profiling"}
    assert "runtime/coder/_range_coder.so" in names and "profiling/reports/page.html" in names
    for source in (ROOT / "runtime").rglob("*.py"):
        assert str(source.relative_to(ROOT)) in names, "every file of the runtime is in a package that is listed"
    needs = " ".join(_metadata(wheel).get_all("Requires-Dist"))
    assert "torchvision" not in needs and "compressai" not in needs and "numpy" in needs
    machine = zipfile.ZipFile(wheel).read("runtime/coder/_range_coder.so")[18]
    assert machine == {"aarch64": 183, "x86_64": 62}[kind[7:]], "the ELF header's machine"


def test_a_workstation_gets_the_rest_on_top(wheels):
    names = zipfile.ZipFile(wheels["workstation"]).namelist()
    packages = {name.partition("/")[0] for name in names if ".dist-info" not in name}
    assert packages == {"encoders", "calibration", "export"}
    metadata = _metadata(wheels["workstation"])
    assert metadata["Name"] == "splitport"
    needs = metadata.get_all("Requires-Dist")
    assert "splitport-runtime==0.1.0" in needs
    assert 'splitport-runtime[litert]==0.1.0; extra == "litert"' in needs


def test_the_same_sources_make_the_same_wheels(wheels, tmp_path):
    from deploy.wheels import build

    again = {path.name: path.read_bytes() for path in build(tmp_path)}
    assert again == {path.name: path.read_bytes() for path in wheels.values()}


def test_an_installed_device_wheel_codes_without_a_compiler(wheels, make_bundle, photographs, tmp_path):
    """In an environment of its own: the library came compiled, and gives the bytes that this machine's gives."""
    folder = tmp_path / "device"
    install = ["install", "--quiet", "--no-deps", "--target", str(folder), str(wheels["device-x86_64"])]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True)
    bundle = make_bundle("ours_n0", "tflite")
    program = (
        "import sys, runtime, runtime.coder.native as native\n"
        f"encoder = runtime.Encoder.open({str(bundle)!r}, threads=1, coder='native')\n"
        "print(runtime.__file__, native.LIBRARY._name, file=sys.stderr)\n"
        f"sys.stdout.buffer.write(encoder.encode({str(photographs[0])!r}))"
    )
    environment = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr.decode().count(str(folder)) == 2, "both are the installed ones"
    from runtime import Encoder

    assert done.stdout == Encoder.open(bundle, threads=1).encode(photographs[0])
