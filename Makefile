# `make demo` and `make test` need nothing but Python 3.10 or newer with venv; each sets up what it uses.
PYTHON ?= python3
VENV ?= .venv
RUNTIME_VENV ?= .venv-runtime
RUNTIME_TORCH ?= 2.13.0
PIP_FLAGS ?= --quiet --disable-pip-version-check
JOBS ?= 2
PLUGINS := $(wildcard plugins/*/pyproject.toml)
EDITABLE_PLUGINS := $(patsubst %/pyproject.toml,-e ./%,$(PLUGINS))

.PHONY: demo test psds lint types imports check runtime setup clean help

help:
	@echo "make demo     train on made sounds, then on real recordings where they are; pictures in demo/"
	@echo "make test     run the tests"
	@echo "make check    lint, types and import rules"
	@echo "make runtime  load and run detectors on torch $(RUNTIME_TORCH), without the training libraries"

demo: $(VENV)/.ready
	$(VENV)/bin/sedsdk demo --out demo

test: $(VENV)/.ready
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n $(JOBS) --dist loadfile

check: lint types imports

psds: $(VENV)/.ready
	$(VENV)/bin/python -m pip install $(PIP_FLAGS) -c constraints.txt -e ".[psds]"

lint: $(VENV)/.ready
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(VENV)/.ready
	$(VENV)/bin/mypy

imports: $(VENV)/.ready
	$(VENV)/bin/lint-imports

runtime: $(RUNTIME_VENV)/.ready
	$(RUNTIME_VENV)/bin/python -m pytest -q tests/runtime tests/regressions \
	  tests/kaldi_bridge/test_network_weights.py tests/kaldi_bridge/test_graph_folding.py

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt $(PLUGINS)
	@sh tools/python_ready.sh "$(PYTHON)" "$(VENV)"
	@echo "Setting up $(VENV): about 5 GB, a few minutes ..."
	@$(VENV)/bin/python -m pip install $(PIP_FLAGS) -c constraints.txt -e ".[train,plots,kaldi,dev]" $(EDITABLE_PLUGINS) \
	  || { echo "Set-up failed: see pip's message above."; exit 1; }
	@if command -v cc >/dev/null 2>&1; then \
	  $(VENV)/bin/python -m pip install $(PIP_FLAGS) -c constraints.txt -e ".[psds]" \
	    || echo "PSDS scores are left out. For them: sudo apt install python3-dev, then: make psds"; \
	else echo "No C compiler: PSDS scores are left out. For them: sudo apt install build-essential python3-dev, then: make psds"; fi
	@touch $@

$(RUNTIME_VENV)/.ready: pyproject.toml constraints.txt $(PLUGINS)
	@sh tools/python_ready.sh "$(PYTHON)" "$(RUNTIME_VENV)"
	@$(RUNTIME_VENV)/bin/python -m pip install $(PIP_FLAGS) -c constraints.txt torch==$(RUNTIME_TORCH) -e ".[kaldi]" $(EDITABLE_PLUGINS) pytest hypothesis
	@touch $@

clean:
	rm -rf $(VENV) $(RUNTIME_VENV) demo
