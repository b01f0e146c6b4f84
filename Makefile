# Everything a developer or a visitor runs. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PORT ?= 8080
SEED ?= 1

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# The environment is made anew when the lock or the packaging changes, and is otherwise left alone.
$(READY): requirements/dev.txt pyproject.toml scripts/setup
	@scripts/setup $(VENV)

bench: $(READY)  ## measure propagation, scale, speed, providers, ledger and limits anew into bench/RESULTS.md (an hour and a half)
	@$(BIN)/python -m tests.kube.assets
	@$(BIN)/python -m bench.propagation
	@$(BIN)/python -m bench.scale
	-@$(BIN)/python -m bench.speed --setup
	@$(BIN)/python -m bench.speed
	@$(BIN)/python -m bench.providers
	@$(BIN)/python -m bench.ledger
	@$(BIN)/python -m bench.limits

bench-quick: $(READY)  ## compare the CPU of a request with the last recorded figure (a minute)
	@$(BIN)/python -m bench.quick

chaos: $(READY)  ## 10,000 seeded scenarios of bad networks (four minutes; SEED=1)
	@$(BIN)/python -m tests.chaos --scenarios 10000 --seed $(SEED) --seconds 240

setup: $(READY)  ## make the virtual environment and install everything into it

run: $(READY)  ## start a fake provider and a gateway over examples/quickstart (PORT=8080)
	@$(BIN)/python -m headgate.quickstart --port $(PORT)

test: $(READY)  ## run all tests; brings kube-apiserver, etcd, Redis and PostgreSQL
	@scripts/servers
	@$(BIN)/python -m tests.kube.assets
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "not alone"
	@$(BIN)/python -m pytest -m alone

check: $(READY) lint types contracts test  ## everything CI runs: format, lint, types, import contracts, tests

lint: $(READY)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

types: $(READY)
	@$(BIN)/mypy

contracts: $(READY)
	@$(BIN)/lint-imports

format: $(READY)  ## format the code and mend what ruff can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

crds: $(READY)  ## write crds/*.yaml from the models in operator/headgate_operator/api
	@$(BIN)/python -m headgate_operator.api.schema crds

LOCK := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --no-header \
    --python-version 3.11 pyproject.toml
# What the image has: not the export as Parquet, whose library is larger than all the rest.
IMAGE_EXTRAS := --extra operator --extra speed --extra litellm --extra redis --extra postgres

lock: $(READY)  ## resolve the dependencies anew and pin them with hashes
	@$(BIN)/pip install --quiet uv
	@$(LOCK) --all-extras --group dev -o requirements/dev.txt
	@$(LOCK) $(IMAGE_EXTRAS) --constraint requirements/dev.txt -o requirements/runtime.txt

.PHONY: help setup run test check lint types contracts format crds lock bench bench-quick chaos
