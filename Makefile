# Everything starts from a fresh clone with Python 3.11 and make; no root, Docker, Node or database is needed.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
DISTRIBUTIONS := protos $(wildcard libs/*) $(wildcard services/*)
SOURCES := $(wildcard libs/*/src services/*/src)
PROTOS := $(shell find protos/apportion -name '*.proto')
WORKERS ?= 2
SEEDS ?= 10
export UV_PYTHON_DOWNLOADS := never
# Services start as processes many times; without compiled modules each start takes seconds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-7s %s\n", $$1, $$2}'

.PHONY: setup
setup: $(VENV)/installed protos/gen/made ## Install everything into .venv, with pinned hashes

$(VENV)/locked: locks/dev.txt locks/uv.txt
	@$(PYTHON) -c 'import sys; assert sys.version_info[:2] == (3, 11), f"Python 3.11 is needed, {sys.executable} is {sys.version}"'
	@$(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV), with pinned hashes …"
	@$(BIN)/pip install --quiet --require-hashes -r locks/uv.txt 2> /dev/null || echo "uv cannot be had: pip installs instead, slower"
	@if [ -x $(BIN)/uv ]; then $(BIN)/uv pip sync --quiet --require-hashes locks/dev.txt; \
	else $(BIN)/pip install --quiet --require-hashes -r locks/dev.txt; fi
	@touch $@

$(VENV)/installed: $(VENV)/locked $(addsuffix /pyproject.toml,$(DISTRIBUTIONS)) protos/build_hook.py
	@echo "installing the workspace …"
	@if [ -x $(BIN)/uv ]; then $(BIN)/uv pip install --quiet --no-deps --no-build-isolation $(addprefix -e ./,$(DISTRIBUTIONS)); \
	else $(BIN)/pip install --quiet --no-deps --no-build-isolation $(addprefix -e ./,$(DISTRIBUTIONS)); fi
	@touch $@

protos/gen/made: $(PROTOS) protos/generate.py | $(VENV)/installed
	@echo "generating code from the protos …"
	@$(BIN)/python protos/generate.py > /dev/null
	@touch $@

.PHONY: protos
protos: setup ## Generate Python code from the protos, and lint them
	cd protos && ../$(BIN)/buf lint && ../$(BIN)/buf format --diff --exit-code

.PHONY: fmt
fmt: setup ## Format Python and protos in place
	$(BIN)/ruff check --quiet --fix-only . || true
	$(BIN)/ruff format --quiet .
	cd protos && ../$(BIN)/buf format --write

.PHONY: lint
lint: protos ## Ruff, buf and the layer contracts
	$(BIN)/ruff format --quiet --check .
	$(BIN)/ruff check --quiet .
	$(BIN)/lint-imports --no-logo

.PHONY: types
types: setup ## mypy, strict, over libs and services
	$(BIN)/mypy $(SOURCES) tests/bench

.PHONY: tidy
tidy: setup ## The house rules, as tests
	$(BIN)/pytest -q tests/tidy

.PHONY: test
test: lint types ## All checks and all tests: units, contracts, processes, house rules
	$(BIN)/pytest -q -n $(WORKERS) --dist loadgroup --no-loadscope-reorder --tb native

.PHONY: soak
soak: setup ## Scripted days with processes killed and suspended, and random days of 2 016 investors; SEEDS=10 of them
	APPORTION_SEEDS=$(SEEDS) $(BIN)/pytest -q -n $(WORKERS) --dist loadgroup --tb native tests/e2e/test_crashes.py tests/e2e/test_replicas.py tests/e2e/test_random_day.py

.PHONY: bench
bench: setup ## Measure, and print each figure as a ratio to its bare floor
	$(BIN)/python -m tests.bench

.PHONY: demo
demo: setup ## Run everything on embedded defaults with a live board; ONCE=1: one scripted day, then check the books
	@$(BIN)/python -m apportion.devstack demo $(if $(ONCE),--once) $(ARGS)

.PHONY: run
run: setup ## Run the five services on embedded servers, without simulator and demo data
	@$(BIN)/python -m apportion.devstack run $(ARGS)

.PHONY: lock
lock: setup ## Resolve locks/*.in again
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url locks/dev.in -o locks/dev.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url locks/runtime.in -c locks/dev.txt -o locks/runtime.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url locks/uv.in -o locks/uv.txt

.PHONY: clean
clean: ## Remove what was built and run
	rm -rf $(VENV) protos/gen .run .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
