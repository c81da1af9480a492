# Every target sets up what it needs in .venv, from a bare clone, with plain pip.
PYTHON ?= python3
PY := .venv/bin/python
READY := .venv/.ready
DEMO := build/demo
# A photograph that scikit-learn carries.
PHOTO = $(shell $(PY) -c "import importlib.util, pathlib; print(pathlib.Path(importlib.util.find_spec('sklearn').origin).parent / 'datasets/images/flower.jpg')")

.PHONY: setup demo demo-commands test test-aarch64 wheels check format bench clean

setup: $(READY)

$(READY): pyproject.toml setup.py $(wildcard runtime/coder/*.[ch])
	@echo "Setting up .venv (once; a few minutes, about 7 GB)"
	@test -x $(PY) || $(PYTHON) -m venv .venv
	@$(PY) -m pip install --quiet --disable-pip-version-check -e '.[export,dev]'
	@touch $@

demo:
	@$(MAKE) --no-print-directory setup
	@$(MAKE) --no-print-directory demo-commands

# Apart, because make looks the photograph up before the first line of a recipe runs.
demo-commands:
	$(PY) -m export --model ours_n4 --target tflite
	$(PY) -m export --model ours_n4 --target onnx --side receiver
	$(PY) -m runtime encode bundles/ours_n4-tflite-fp32 $(PHOTO) -o $(DEMO) --compare
	$(PY) -m runtime decode bundles/ours_n4-tflite-fp32 $(DEMO)/flower.spl -o $(DEMO)
	$(PY) -m runtime predict bundles/ours_n4-onnx-fp32-receiver $(DEMO)/flower.spl --top 3
	@rm -f $(DEMO)/results.jsonl
	$(PY) -m profiling run bundles/ours_n4-tflite-fp32 --images $(PHOTO) --threads 1 -o $(DEMO)/results.jsonl
	@echo
	@$(PY) -m profiling report $(DEMO)/results.jsonl --format pcs

test: $(READY)
	$(PY) -m pytest -q

# On emulated boards; needs Debian's qemu-user-static. Timings there say nothing about a board.
test-aarch64: $(READY)
	$(PY) -m pytest -q -m emulated tests/aarch64

# What devices and workstations install, in dist.
wheels: $(READY)
	$(PY) -m deploy.wheels

check: $(READY)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

format: $(READY)
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

bench: $(READY)
	$(PY) -W ignore -m benchmarks.coder
	$(PY) -W ignore -m benchmarks.encode
	$(PY) -W ignore -m benchmarks.cold
	$(PY) -W ignore -m benchmarks.preprocess
	$(PY) -W ignore -m benchmarks.instructions

clean:
	rm -rf build bundles dist *.egg-info
