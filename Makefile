# Every target works twice in a row and needs nothing but python3 (3.11 or newer) and pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EMULATOR := .venv-bigquery
EMULATOR_STAMP := $(EMULATOR)/.installed
EMULATION := tests/support/bigquery_emulation
FOCUS := .venv-focus
FOCUS_STAMP := $(FOCUS)/.installed
FOCUS_TOOLS := tests/support/focus_tools
ROUNDS ?= 20

.DEFAULT_GOAL := help
.PHONY: help setup demo serve test bigquery-emulator focus-tools test-slow test-fleet test-bigquery check check-image format bench bench-bigquery constraints clean

help:  ## What can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-17s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Convergence needs Python 3.11 or newer; this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(STAMP)

setup: $(STAMP)  ## Build .venv/ with the convergence command

demo: $(STAMP)  ## See costs in a minute: simulator, demo organization, 30 days
	@$(BIN)/convergence demo

serve: $(STAMP)  ## The API, a worker and the scheduler on this machine
	@$(BIN)/convergence serve

test: $(STAMP) $(EMULATOR_STAMP) $(FOCUS_STAMP)  ## The test suite
	@$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test-slow: $(STAMP) $(EMULATOR_STAMP) $(FOCUS_STAMP)  ## Fifty kills, two warehouses side by side, processes apart
	@$(BIN)/python -m pytest -m slow -n auto --dist loadfile

$(EMULATOR_STAMP): $(EMULATION)/constraints.txt
	@test -x $(EMULATOR)/bin/python || $(PYTHON) -m venv $(EMULATOR)
	@$(EMULATOR)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $(EMULATION)/constraints.txt
	@mkdir -p $(EMULATOR)/home
	@HOME=$(CURDIR)/$(EMULATOR)/home $(EMULATOR)/bin/python -c 'import duckdb_extensions; duckdb_extensions.import_extension("spatial")'
	@touch $(EMULATOR_STAMP)

$(FOCUS_STAMP): $(FOCUS_TOOLS)/lint.txt $(FOCUS_TOOLS)/validator.txt
	@$(PYTHON) $(FOCUS_TOOLS)/build.py $(FOCUS)
	@touch $(FOCUS_STAMP)

focus-tools: $(FOCUS_STAMP)  ## Build .venv-focus/ with the FOCUS validator and lint that the tests use

bigquery-emulator: $(EMULATOR_STAMP)  ## Build .venv-bigquery/ with the emulator that the tests use

test-fleet: $(STAMP) $(EMULATOR_STAMP)  ## Two API processes, three workers, random kills: 20 rounds
	@FLEET_ROUNDS=$(ROUNDS) $(BIN)/python -m pytest tests/faults/test_fleet.py -m fleet

test-bigquery: $(STAMP)  ## The warehouse's tests against a real, empty project: GCP_PROJECT_ID
	@$(BIN)/python tests/support/bigquery_project.py
	@BIGQUERY_TEST_PROJECT=$(GCP_PROJECT_ID) $(BIN)/python -m pytest tests/conformance/warehouse -k bigquery

check: $(STAMP)  ## ruff, mypy, import-linter, configs
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python scripts/validate_configs.py
	@$(BIN)/python infrastructure/checks/check.py

check-infra: $(STAMP)  ## Terraform, policies, Dockerfile, scripts, Cloud Build
	@$(BIN)/python infrastructure/checks/check.py

check-image:  ## Build the image from Debian's packages and run it once
	@infrastructure/checks/image.sh

format: $(STAMP)  ## Format and fix what can be fixed
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(STAMP)  ## Ingest speed and memory beside the bare floor and dlt
	@$(BIN)/python benchmarks/ingest.py

bench-bigquery: $(STAMP) $(EMULATOR_STAMP)  ## Calls to BigQuery in the first thirty days
	@$(BIN)/python benchmarks/bigquery_calls.py

constraints: $(STAMP)  ## Compile constraints.txt anew (versions only)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev --no-header --no-annotate --no-emit-index-url --no-emit-find-links --upgrade pyproject.toml --output-file constraints.txt

clean:  ## Remove the environment, caches and local data
	@rm -rf $(VENV) $(EMULATOR) $(FOCUS) .venv-infra .convergence .benchmarks .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
