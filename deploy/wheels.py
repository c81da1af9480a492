"""Build the wheels: ``splitport-runtime`` for each kind of board, and ``splitport`` on top of it for workstations.

    python -m deploy.wheels [-o dist]

The first carries the runtime, the profiler and the range coder as a compiled library. That is a plain C library which
Python loads with ctypes, so one wheel serves every Python version; it is compiled with zig, which brings the headers
of every old glibc and needs nothing installed for another architecture. The second carries the models, calibration
and export.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
#: Processors that boards and workstations have. Any Linux since 2014 has this glibc.
ARCHITECTURES = ("aarch64", "x86_64")
_GLIBC = (2, 17)
#: Top-level packages of the device's wheel; the other one has the rest.
_DEVICE = ("runtime", "profiling")
_DEVICE_NAME = "splitport-runtime"
#: Extras that need what only the other wheel has.
_WORKSTATION_EXTRAS = ("export", "dev")
_SOURCES = ("plain.c", "context.c", "hyper.c")
#: What a device's flash can spare.
_MOST_BYTES = 1 << 20


def build(output: Path) -> list[Path]:
    """All wheels, each checked."""
    output.mkdir(parents=True, exist_ok=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    made = [_device_wheel(project, architecture, output) for architecture in ARCHITECTURES]
    return [*made, _workstation_wheel(project, output)]


def _device_wheel(project: dict[str, Any], architecture: str, output: Path) -> Path:
    tag = f"manylinux_{_GLIBC[0]}_{_GLIBC[1]}_{architecture}"
    extras = project["project"]["optional-dependencies"]
    metadata = _metadata(project, _DEVICE_NAME) | {
        "install_requires": project["project"]["dependencies"],
        "extras_require": {name: needs for name, needs in extras.items() if name not in _WORKSTATION_EXTRAS},
        "entry_points": {"console_scripts": [f"{k} = {v}" for k, v in project["project"]["scripts"].items()]},
        "packages": [name for name in _packages(project) if name.partition(".")[0] in _DEVICE],
        "platform": tag,
    }
    wheel = _wheel(metadata, output, library=architecture)
    _check(wheel, tag)
    return wheel


def _workstation_wheel(project: dict[str, Any], output: Path) -> Path:
    version, extras = project["project"]["version"], project["project"]["optional-dependencies"]
    metadata = _metadata(project, project["project"]["name"]) | {
        "install_requires": [f"{_DEVICE_NAME}=={version}"],
        "extras_require": {
            name: needs if name in _WORKSTATION_EXTRAS else [f"{_DEVICE_NAME}[{name}]=={version}"]
            for name, needs in extras.items()
        },
        "packages": [name for name in _packages(project) if name.partition(".")[0] not in _DEVICE],
    }
    return _wheel(metadata, output)


def _packages(project: dict[str, Any]) -> list[str]:
    packages: list[str] = project["tool"]["setuptools"]["packages"]
    return packages


def _metadata(project: dict[str, Any], name: str) -> dict[str, Any]:
    known = project["project"]
    return {
        "name": name,
        "version": known["version"],
        "description": known["description"],
        "long_description": (ROOT / known["readme"]).read_text(),
        "long_description_content_type": "text/markdown",
        "python_requires": known["requires-python"],
        "license": known["license"],
        "keywords": known["keywords"],
        "classifiers": known["classifiers"],
        "package_data": project["tool"]["setuptools"]["package-data"],
    }


def _wheel(metadata: dict[str, Any], output: Path, library: str | None = None) -> Path:
    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder)
        for package in {name.partition(".")[0] for name in metadata["packages"]}:
            unwanted = shutil.ignore_patterns("__pycache__", "*.so", "*.o")
            shutil.copytree(ROOT / package, stage / package, ignore=unwanted)
        metadata["package_data"] = {k: v for k, v in metadata["package_data"].items() if (stage / k).is_dir()}
        if library:
            _compile(stage / "runtime" / "coder", library)
            data = metadata["package_data"]["runtime"]  # whoever gets the library needs no source of it
            metadata["package_data"]["runtime"] = [each for each in data if each.startswith("py.")] + ["coder/*.so"]
        for file in ("staged_setup.py", "../LICENSE"):
            source = ROOT / "deploy" / file
            shutil.copy(source, stage / ("setup.py" if file == "staged_setup.py" else source.name))
        (stage / "metadata.json").write_text(json.dumps(metadata))
        _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(stage / "dist"), str(stage))
        (made,) = (stage / "dist").glob("*.whl")
        return Path(shutil.copy(made, output))


def _compile(folder: Path, architecture: str) -> None:
    # No contraction of a * b + c: the coder is integers throughout, and is to stay the same on every processor.
    flags = ["-shared", "-fPIC", "-O3", "-g0", "-s", "-ffp-contract=off"]
    target = f"{architecture}-linux-gnu.{_GLIBC[0]}.{_GLIBC[1]}"
    sources = [str(folder / source) for source in _SOURCES]
    library = str(folder / "_range_coder.so")
    _run(sys.executable, "-m", "ziglang", "cc", "-target", target, *flags, "-o", library, *sources)


def _check(wheel: Path, tag: str) -> None:
    """What its name says of old systems is true, and it is small."""
    if wheel.stat().st_size > _MOST_BYTES:
        raise SystemExit(f"{wheel.name} has {wheel.stat().st_size:,} bytes; devices are to get at most {_MOST_BYTES:,}")
    said = _run(sys.executable, "-m", "auditwheel", "show", str(wheel))
    if f'"{tag}"' not in " ".join(said.split()):
        raise SystemExit(f"{wheel.name} does not run where {tag} does: {said}")


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | dict(_reproducible()))
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:6])} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def _reproducible() -> Iterator[tuple[str, str]]:
    """The same sources make the same wheels, byte for byte."""
    yield "SOURCE_DATE_EPOCH", os.environ.get("SOURCE_DATE_EPOCH", "1577836800")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("dist"))
    for wheel in build(parser.parse_args().output):
        print(f"{wheel}  {wheel.stat().st_size / 1000:,.0f} kB")


if __name__ == "__main__":
    main()
