# make demo    the whole chain on synthetic studies     make lint       ruff; make types: mypy
# make test    lint, types, notebooks, docs, tests      make format     let ruff and nbdev-clean mend files
# make docs    the documentation site, in site/
# make clean   remove caches and build products         make distclean  ... and the environment
#
# The first call installs the pinned versions into .venv; later calls start at once. pip's own settings
# (PIP_* variables, pip.conf) are honoured. Choose another Python with `make PYTHON=python3.12 ...`.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
# Two cores are busy with one step already, and the line that counts the tests has to come last.
.NOTPARALLEL:

PYTHON ?= python3
WORKERS ?= 2
PYTEST_ARGS ?= -n $(WORKERS) --dist loadfile -rs

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DOCS_INSTALLED := $(VENV)/.docs-installed

# Test workers share the cores; without this each of them would start a thread per core.
test notebooks pytest: export OMP_NUM_THREADS ?= 1
export MPLBACKEND ?= agg

.PHONY: demo test lint types notebooks docs pytest format install clean distclean

demo: install
	$(BIN)/cmrseg demo $(DEMO_ARGS)

test: lint types notebooks docs pytest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# A minute without its cache, seconds with it.
types: install
	$(BIN)/mypy

notebooks: install
	$(BIN)/nbdev-test nbs --n-workers $(WORKERS) --timing

# Strict: a broken link, a page that the navigation does not name, or a docstring that contradicts its signature fails.
docs: $(DOCS_INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

pytest: install
	$(BIN)/python -m pytest $(PYTEST_ARGS)

format: install
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	$(BIN)/nbdev-clean

install: $(INSTALLED)

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	@if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  if ! command -v "$(PYTHON)" >/dev/null; then \
	    echo "cmrseg needs Python 3.11 or newer, but there is no '$(PYTHON)'; name one, for example: make PYTHON=python3.11" >&2; exit 1; fi; \
	  if ! "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
	    echo "cmrseg needs Python 3.11 or newer, but '$(PYTHON)' is $$("$(PYTHON)" --version 2>&1); name another, for example: make PYTHON=python3.11" >&2; exit 1; fi; \
	  echo "creating $(VENV) with $$("$(PYTHON)" --version)"; \
	  "$(PYTHON)" -m venv --clear $(VENV) || { echo "could not create $(VENV); does '$(PYTHON)' have its venv module (Debian: python3-venv)?" >&2; exit 1; }; \
	fi
	@echo "installing cmrseg and the pinned versions into $(VENV); the first time takes minutes"
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dask,onnx,openvino,review,dev]' \
	  || { echo "the installation failed (see pip's message above); mend the cause and run make again" >&2; exit 1; }
	@touch $@

$(DOCS_INSTALLED): $(INSTALLED)
	@echo "installing what builds the documentation into $(VENV)"
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]' \
	  || { echo "the installation failed (see pip's message above); mend the cause and run make docs again" >&2; exit 1; }
	@touch $@

clean:
	rm -rf build dist site *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find cmrseg tests nbs benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
	find cmrseg tests nbs benchmarks -name .ipynb_checkpoints -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)
