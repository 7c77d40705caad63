# The commands of this repository. They need Python 3.11 to 3.14 (with pip and venv) and make, nothing else.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# A version manager may put names on the path that do not run, so each candidate is tried.
PYTHON ?= $(shell for name in python3.13 python3.12 python3.11 python3.14 python3; do \
	if $$name -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' >/dev/null 2>&1; then echo $$name; break; fi; done)
VENV ?= .venv
BIN := $(VENV)/bin
UV ?= uv
WORKERS ?= 2

# What is compiled is kept: every test starts programs, each of which would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check
LOCKED = $(INSTALL) --require-hashes --only-binary :all:
PROJECT = $(INSTALL) --no-deps --no-build-isolation --editable .

# What everything stands on is covered to the last branch.
ORCHESTRATION = */medical_kg/orchestration
GROUND_FLOOR = $(ORCHESTRATION)/contract/*,$(ORCHESTRATION)/discovery.py,$(ORCHESTRATION)/registry.py,$(ORCHESTRATION)/pipeline/*

.PHONY: help setup demo test test-fast check style types layers soak bench crash fuzz mutants docs screenshots fix lock clean

help:  ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 to 3.14 is needed; set PYTHON=/path/to/python" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: requirements/demo.txt pyproject.toml | $(BIN)/python
	@test -e $(VENV)/.dev || $(LOCKED) --requirement requirements/demo.txt
	$(PROJECT)
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(BIN)/python
	$(LOCKED) --requirement requirements/dev.txt
	$(PROJECT)
	@touch $@

$(VENV)/.bench $(VENV)/.mutation: $(VENV)/.%: requirements/%.txt $(VENV)/.dev
	$(LOCKED) --requirement $<
	@touch $@

setup: $(VENV)/.dev  ## Make .venv with the pinned development tools and this project

demo: $(VENV)/.demo  ## Run the sample documents through the main pipeline
	$(BIN)/medical-kg demo

test: setup  ## Run all tests with the coverage gates
	$(BIN)/coverage erase
	$(BIN)/python -m pytest -n $(WORKERS) --cov --cov-report=
	$(BIN)/coverage report --fail-under=95
	$(BIN)/coverage report --fail-under=100 --include='$(GROUND_FLOOR)'

test-fast: setup  ## Run the tests that take less than about five seconds
	$(BIN)/python -m pytest -n $(WORKERS) -m 'not slow'

check: style types layers docs  ## Check format, style, types, layers and the documentation

style: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy

layers: setup
	$(BIN)/lint-imports

docs: setup  ## Build the documentation; a warning is an error
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -b html docs docs/_build/html

soak: setup  ## Let several commands work on one workspace at once, for five minutes
	MEDICAL_KG_SOAK_SECONDS=300 $(BIN)/python -m pytest -s tests/integration/test_soak.py

bench: $(VENV)/.bench  ## Measure the budgets of the design, each beside its floor
	$(BIN)/python -m benchmarks

crash: setup  ## Kill runs hundreds of times, and see that nothing is lost or repeated (CRASH="--kills 20 --seed 7")
	$(BIN)/python tests/crash $(CRASH)

fuzz: setup  ## Hand every format, source and check edited files for some minutes (FUZZ="--seconds 300 --only jats")
	$(BIN)/python tests/fuzzing $(FUZZ)

mutants: $(VENV)/.mutation  ## Break contract, registry and checks line by line, and list what no test notices
	$(BIN)/mutmut run --max-children $(WORKERS)
	$(BIN)/mutmut results

screenshots: setup  ## Take the pictures of the documentation anew (needs chromium)
	$(BIN)/python scripts/screenshots.py

fix: setup  ## Format, repair what can be repaired, and write the reference anew
	$(BIN)/python scripts/reference.py
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock:  ## Pin the requirements anew (needs uv)
	UV=$(UV) bash scripts/lock

clean:  ## Remove the environment and everything built
	rm -rf $(VENV) build dist docs/_build mutants .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis \
		.import_linter_cache
