"""``--engine NAME:PROVIDER``: whoever asks for a GPU gets it, or an error that says what is missing."""

from __future__ import annotations

import os
import sys
import types

import pytest

from runtime import Encoder, engines
from runtime.errors import EngineError, UnknownName, UsageError

CUDA, TENSORRT, CPU = "CUDAExecutionProvider", "TensorrtExecutionProvider", "CPUExecutionProvider"


@pytest.fixture(scope="module")
def bundle(make_bundle):
    """Exported before anything stands in for an engine."""
    return make_bundle()


class FakeRuntime:
    """Stands in for a wheel with NVIDIA's providers, and computes with the real one on the CPU."""

    def __init__(self, monkeypatch, tmp_path, *, built=(TENSORRT, CUDA, CPU), starts=(TENSORRT, CUDA), on=None) -> None:
        import onnxruntime

        self.real, self.built, self.starts, self.on = onnxruntime, list(built), starts, on
        self.asked: list = []
        self.preloaded = self.steadfast = False
        module = types.ModuleType("onnxruntime")
        module.__version__, module.__file__ = "1.31.1", str(tmp_path / "onnxruntime/__init__.py")
        module.SessionOptions = onnxruntime.SessionOptions
        module.get_available_providers = lambda: self.built
        module.InferenceSession = self.session
        module.preload_dlls = lambda: setattr(self, "preloaded", True)
        self.module = module
        monkeypatch.setitem(sys.modules, "onnxruntime", module)
        monkeypatch.delitem(sys.modules, "runtime.engines.onnxruntime", raising=False)
        monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "")
        monkeypatch.delenv("NVIDIA_TF32_OVERRIDE")

    def session(self, path, options, providers):
        self.asked = providers
        real = self.real.InferenceSession(path, options, providers=[CPU])
        fake = types.SimpleNamespace(get_inputs=real.get_inputs, get_outputs=real.get_outputs, run=real.run)
        fake.get_providers = lambda: [name for name, _ in providers if name in (*self.starts, CPU)]
        fake.disable_fallback = lambda: setattr(self, "steadfast", True)
        if self.on is not None:
            part = types.SimpleNamespace
            fake.get_provider_graph_assignment_info = lambda: [
                part(ep_name=name, get_nodes=lambda count=count: [None] * count) for name, count in self.on
            ]
        return fake


def test_the_stand_in_has_nothing_that_the_real_one_has_not(monkeypatch, tmp_path, bundle):
    fake = FakeRuntime(monkeypatch, tmp_path, on=[(CUDA, 9)])
    session = fake.session(str(bundle / "encoder.onnx"), None, [(CUDA, {}), (CPU, {})])
    real = fake.real.InferenceSession(str(bundle / "encoder.onnx"), providers=[(CPU, {})])
    assert all(hasattr(real, name) for name in vars(session))
    assert all(hasattr(fake.real, name) for name in vars(fake.module))
    assert real.get_providers() == [CPU]


@pytest.mark.parametrize(
    ("name", "bare", "provider"),
    [("onnxruntime", "onnxruntime", None), ("onnxruntime:cpu", "onnxruntime", None), ("litert", "litert", None),
     ("onnxruntime:cuda", "onnxruntime", "cuda"), ("onnxruntime:tensorrt", "onnxruntime", "tensorrt")],
)  # fmt: skip
def test_names(name, bare, provider):
    assert engines.parse(name) == (engines.ENGINES[bare], provider) and engines.spec(name).name == bare


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("onnxruntime:cude", UnknownName, "unknown provider of onnxruntime 'cude'; did you mean 'cuda'?"),
        ("onnxruntime:", UnknownName, "Known: cpu, cuda, tensorrt"),
        ("onnxruntim:cuda", UnknownName, "unknown engine 'onnxruntim'; did you mean 'onnxruntime'?"),
        ("openvino:GPU", UsageError, "openvino has no providers to choose from"),
    ],
)
def test_names_that_are_wrong(name, kind, said):
    with pytest.raises(kind, match=said.replace("?", r"\?")):
        engines.spec(name)


def test_what_a_record_says(monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda _: "1.31.1")
    assert engines.label("onnxruntime:cuda", "onnx") == "onnxruntime 1.31.1, cuda"
    assert engines.label("onnxruntime:cpu", "onnx") == engines.label(None, "onnx") == "onnxruntime 1.31.1"
    monkeypatch.setattr("runtime.engines.EngineSpec.version", None)
    assert engines.label("onnxruntime:tensorrt", "onnx") == "onnxruntime, tensorrt"


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_provider_that_works(monkeypatch, tmp_path, bundle, photographs, provider):
    expected = Encoder.open(bundle, threads=1).encode(photographs[0])
    fake = FakeRuntime(monkeypatch, tmp_path)
    encoder = Encoder.open(bundle, engine=f"onnxruntime:{provider}", threads=1)
    assert encoder.encode(photographs[0]) == expected
    names = [name for name, _ in fake.asked]
    assert names == ([TENSORRT] if provider == "tensorrt" else []) + [CUDA, CPU]
    assert dict(fake.asked)[CUDA] == {"use_tf32": "0"} and os.environ["NVIDIA_TF32_OVERRIDE"] == "0"
    assert fake.preloaded and fake.steadfast, "a failing GPU must not become a CPU from one picture to the next"


def test_the_cpu_asks_for_nothing_else(monkeypatch, tmp_path, bundle):
    fake = FakeRuntime(monkeypatch, tmp_path)
    Encoder.open(bundle, engine="onnxruntime:cpu")
    assert [name for name, _ in fake.asked] == [CPU] and not fake.preloaded
    assert "NVIDIA_TF32_OVERRIDE" not in os.environ


@pytest.mark.parametrize(
    ("machine", "said"), [("x86_64", "then pip install onnxruntime-gpu"), ("aarch64", "JetPack 6")]
)
def test_a_wheel_without_the_provider(monkeypatch, tmp_path, bundle, machine, said):
    monkeypatch.setattr("platform.machine", lambda: machine)
    FakeRuntime(monkeypatch, tmp_path, built=(CPU,))
    with pytest.raises(EngineError, match=r"built without CUDA \(it has CPU\)") as caught:
        Encoder.open(bundle, engine="onnxruntime:cuda")
    assert said in str(caught.value) and str(caught.value).count("\n") == 0


def test_the_real_wheel(bundle):
    """The one that is installed here: it has the provider and a GPU, or says which of them is missing."""
    import onnxruntime

    if TENSORRT in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has TensorRT; the stand-in covers what is said where it has not")
    with pytest.raises(EngineError, match="was built without TensorRT"):
        Encoder.open(bundle, engine="onnxruntime:tensorrt")


@pytest.mark.parametrize(("provider", "title"), [("cuda", "CUDA"), ("tensorrt", "TensorRT")])
def test_a_provider_that_does_not_start(monkeypatch, tmp_path, bundle, provider, title):
    """ONNX Runtime goes on with the CPU; a latency of that must not be called CUDA's."""
    FakeRuntime(monkeypatch, tmp_path, starts=())
    with pytest.raises(EngineError, match=f"cannot start {title} here and would compute on the CPU") as caught:
        Encoder.open(bundle, engine=f"onnxruntime:{provider}")
    assert f"libonnxruntime_providers_{provider}.so" in str(caught.value), "the loader's own words"


def test_tensorrt_that_falls_back_to_cuda_is_no_tensorrt(monkeypatch, tmp_path, bundle):
    FakeRuntime(monkeypatch, tmp_path, starts=(CUDA,))
    with pytest.raises(EngineError, match="cannot start TensorRT"):
        Encoder.open(bundle, engine="onnxruntime:tensorrt")


@pytest.mark.parametrize(
    ("on", "refused"),
    [([(CUDA, 1)] * 20 + [(CPU, 1)], False), ([(CPU, 21)], True), ([(CUDA, 4), (CPU, 1)] + [(CPU, 1)] * 9, True)],
)
def test_a_provider_that_computes_little(monkeypatch, tmp_path, bundle, on, refused):
    FakeRuntime(monkeypatch, tmp_path, on=on)
    if not refused:
        assert Encoder.open(bundle, engine="onnxruntime:cuda")
        return
    with pytest.raises(EngineError, match=r"CUDA has no more than \d of the \d+ steps"):
        Encoder.open(bundle, engine="onnxruntime:cuda")


def test_a_missing_engine_names_the_wheel_with_the_provider(monkeypatch, bundle):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(sys.modules, "runtime.engines.onnxruntime", raising=False)
    with pytest.raises(EngineError, match=r"onnxruntime is not installed: .*onnxruntime-gpu"):
        Encoder.open(bundle, engine="onnxruntime:cuda")


def test_records_say_the_provider(monkeypatch, tmp_path, bundle):
    from profiling.subjects import BundleEncoding

    FakeRuntime(monkeypatch, tmp_path)
    assert BundleEncoding(bundle, 1, "onnxruntime:cuda").facts()["engine"].endswith(", cuda")
    assert "," not in BundleEncoding(bundle, 1).facts()["engine"]


def test_a_fleet_measures_again_what_another_provider_measured():
    from types import SimpleNamespace

    from profiling.fleet.plan import _ran_on

    cpu, gpu = SimpleNamespace(engine="onnxruntime-gpu 1.23.0"), SimpleNamespace(engine="onnxruntime-gpu 1.23.0, cuda")
    assert _ran_on(cpu, "onnxruntime") and _ran_on(cpu, "onnxruntime:cpu") and not _ran_on(cpu, "onnxruntime:cuda")
    assert _ran_on(gpu, "onnxruntime:cuda") and not _ran_on(gpu, "onnxruntime") and not _ran_on(gpu, "litert")
