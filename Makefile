# Every target makes its own virtual environment (.venv) when that is missing or stale.
#
#   make up         a hub and two managed clusters on this machine     make down    stop them
#   make test       all tests, on the embedded control plane           make check   format, lint, types, contracts
#   make test-real  the integration tests on a real control plane      make bench   benchmarks
#
# make test T=tests/unit/lang       a part of the tests
# make test ARGS="-x -k selectors"  further options of pytest
# make test COVERAGE=1              with coverage (slower)
# make bench ARGS=--json            one JSON object a benchmark
#
# Kept to what GNU make 3.81 has, which is what macOS comes with.

SHELL := bash
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements-dev.lock
STAMP := $(VENV)/.installed
T ?=
ARGS ?=
WORKERS ?= auto

# Tests that share a cluster are in one file and stay on one worker (loadfile).
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(if $(COVERAGE),--cov --cov-report=term:skip-covered)
# pytest exits with 5 where a selection holds no test at all, which is not a failure.
OR_NO_TESTS = || { code=$$?; test $$code -eq 5 || exit $$code; }

CHECKS := check-types check-ruff check-imports check-generated check-shell

.PHONY: install up down test test-real check bench clean lock $(CHECKS)

install: $(STAMP)
	@:

# The stamp says where the environment was made, since one that was moved or copied is stale.
ifneq ($(shell cat $(STAMP) 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif
$(STAMP): pyproject.toml $(LOCK)
	@scripts/venv $(VENV) $(LOCK)

up: install
	@$(BIN)/merope up $(ARGS)

down: install
	@$(BIN)/merope down $(ARGS)

test: install
	@$(PYTEST) $(ARGS) $(T) $(OR_NO_TESTS)

test-real: install
	@tests/realcluster/build > /dev/null
	@$(PYTEST) --control-plane=real $(ARGS) $(or $(T),tests/integration) $(OR_NO_TESTS)

# mypy takes as long as all others together, so two at a time is the fastest.
check: install
	@$(MAKE) -k -j2 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) $(CHECKS)

check-types:
	@$(BIN)/python -m mypy

check-ruff:
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .

check-imports:
	@$(BIN)/lint-imports

check-generated:
	@for generator in $(wildcard scripts/generate_*.py); do \
		$(BIN)/python $$generator --check || { echo "$$generator: what it generates is out of date" >&2; exit 1; }; \
	done

check-shell:
	@for script in $$(git ls-files | xargs grep -lE '^#!.*\bbash$$'); do \
		bash -n $$script || exit 1; \
		if command -v shellcheck > /dev/null; then shellcheck $$script || exit 1; fi; \
	done

bench: install
	@for benchmark in $(wildcard bench/*.py); do $(BIN)/python $$benchmark $(ARGS) || exit 1; done

# Newer versions of everything, within what pyproject.toml allows.
lock:
	@uv pip compile pyproject.toml --group dev --group release --universal --python-version 3.11 --upgrade --quiet \
		--generate-hashes --no-emit-index-url --no-header --no-annotate -o $(LOCK)

clean:
	@rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.* htmlcov
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
