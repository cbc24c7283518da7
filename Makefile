# Two commands matter: `make serve` and `make test`. Each sets up what it needs in .venv.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PORT ?= 8000
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# The first Python that the project takes; PYTHON= overrides.
PYTHON ?= $(shell for python in python3.11 python3.12 python3; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null && echo $$python && break; done)

.PHONY: help serve test check format bundle clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: $(VENV)/.serve ## serve the shipped model on port 8000 (PORT=9000 for another)
	@$(BIN)/quickeye serve --port $(PORT)

test: $(VENV)/.dev check ## run the checks and the whole test suite
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: $(VENV)/.dev ## lint, format, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bundle: $(VENV)/.dev ## make the shipped bundle again from the published weights
	rm -rf build/bundle
	$(BIN)/quickeye optimize efficientnet_lite0_int8 --out build/bundle $(if $(QUICKEYE_CLOTHING),--test '$(QUICKEYE_CLOTHING)/validation')
	$(BIN)/python -m optimize.ship build/bundle

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@[ -n "$(PYTHON)" ] || { echo "Quickeye needs Python 3.11 or 3.12; none was found. Name one with PYTHON=/path/to/python3.12"; exit 1; }
	@echo "making $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.serve: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing the server (about half a minute the first time)"
	@$(PIP) --editable '.[cpu]'
	@touch $@

# torch goes first, alone: a later resolution could pick a build with gigabytes of CUDA libraries.
$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing everything for the tests (about two minutes the first time)"
	@$(PIP) torch
	@$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.serve
