# Every target does its own set-up: a virtual environment in .venv, installed once and again when its inputs change.
# Needs Python 3.11 or later with pip. Choose another interpreter with `make test PYTHON=python3.12`.

PYTHON ?= python3
VENV := .venv
VENV_BENCH := .venv-bench
VENV_PEERS := .venv-peers
BIN := $(VENV)/bin
# More workers than cores only slow each other down, and each holds its own copy of torch.
WORKERS ?= auto
MAX_WORKERS ?= 4

DEMO := $(BIN)/intertwine reproduce potential --scale cpu --case 3bpa --seeds 0 --folder runs/demo --output runs/demo/results.json
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --maxprocesses $(MAX_WORKERS) --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all bench bench-training docs docs-tables lint format api constraints clean

help: ## show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.stamp ## make the environment .venv

$(VENV)/.stamp: pyproject.toml constraints.txt scripts/environment.sh
	PYTHON="$(PYTHON)" scripts/environment.sh $(VENV) --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m intertwine.kernels

$(VENV_BENCH)/.stamp: pyproject.toml benchmarks/requirements.txt scripts/environment.sh
	PYTHON="$(PYTHON)" scripts/environment.sh $(VENV_BENCH) --constraint benchmarks/requirements.txt \
	  --requirement benchmarks/requirements.txt --editable '.[train,atoms]'

$(VENV_PEERS)/.stamp: pyproject.toml benchmarks/requirements-peers.txt scripts/environment.sh
	PYTHON="$(PYTHON)" scripts/environment.sh $(VENV_PEERS) --constraint benchmarks/requirements-peers.txt \
	  --requirement benchmarks/requirements-peers.txt --editable '.[train,atoms]'

demo: $(VENV)/.stamp ## train, test and check a small force field on real data (four minutes on two cores)
	rm -rf runs/demo
	$(DEMO)

test: $(VENV)/.stamp ## the tests, without slow ones and without a GPU
	$(PYTEST) -m "not slow and not gpu"

test-all: $(VENV)/.stamp ## all tests, slow ones included; GPU tests run where there is a GPU
	$(PYTEST)

bench: $(VENV)/.stamp $(VENV_BENCH)/.stamp $(VENV_PEERS)/.stamp ## time this library beside its peers, which need two environments of their own
	$(VENV_PEERS)/bin/python benchmarks/kernels.py
	$(BIN)/python benchmarks/convolutions.py
	$(BIN)/python benchmarks/frame_averaging.py
	$(VENV_BENCH)/bin/python benchmarks/potential_vs_mace.py
	$(VENV_PEERS)/bin/python benchmarks/potential_vs_nequip.py

bench-training: $(VENV)/.stamp $(VENV_BENCH)/.stamp ## train beside mace-torch, and with each product (forty minutes on two cores)
	$(BIN)/python benchmarks/potential_products.py
	$(VENV_BENCH)/bin/python benchmarks/time_to_accuracy.py

docs: $(VENV)/.stamp ## build the pages into docs/_build/html; a warning fails the build
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

docs-tables: $(VENV)/.stamp ## render the result tables of README, docs and cards from results/
	$(BIN)/python -m intertwine.reporting.tables README.md $(wildcard docs/*.md docs/*/*.md src/intertwine/systems/*/README.md)

lint: $(VENV)/.stamp ## style, formatting, layers and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/pyright

format: $(VENV)/.stamp ## format the code and fix what can be fixed
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

api: $(VENV)/.stamp ## write tests/api_surface.json, the list of public names
	$(BIN)/python scripts/api_surface.py --write

constraints: $(VENV)/.stamp ## write constraints.txt from what is installed in .venv
	$(BIN)/python scripts/freeze_constraints.py

clean: ## remove the environments and what the tools left behind
	rm -rf $(VENV) $(VENV_BENCH) $(VENV_PEERS) build dist docs/_build .pytest_cache .ruff_cache .hypothesis .import_linter_cache
