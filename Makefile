# The two commands are `make run` and `make test`; `make help` lists all.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# The first Python that will do, else python3, which then says what is missing.
PYTHON ?= $(shell for p in python3 python3.12 python3.11 python3.13; do \
  "$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo "$$p" && exit; done; \
  command -v python3)
LOCAL ?= $(or $(MODELOPS_LOCAL),$(CURDIR)/.local)
PY := $(CURDIR)/.venv/bin/python
STACK := $(PY) -m include.stack

.PHONY: help install run up status stop logs reset lint types test-unit loop test scenarios bench

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

install:  ## create .venv and install requirements.lock (skipped when nothing changed)
	@test -n "$(PYTHON)" || { echo "python3 is missing: apt-get install python3 python3-venv" >&2; exit 1; }
	@"$(PYTHON)" include/stack/install.py

run: install  ## start the stack and close the demo's loop on it; the stack stays up (LOCAL=folder)
	@$(STACK) run --local "$(LOCAL)"

up: install  ## start the stack only
	@$(STACK) up --local "$(LOCAL)"

status: install  ## state of every program, addresses and login
	@$(STACK) status --local "$(LOCAL)"

stop: install  ## stop the stack
	@$(STACK) down --local "$(LOCAL)"

logs: install  ## follow the logs (PROGRAM=scheduler for one)
	@$(STACK) logs --local "$(LOCAL)" --follow $(PROGRAM)

reset: install  ## stop the stack and delete its folder; asks first (FORCE=1 does not)
	@$(STACK) reset --local "$(LOCAL)" $(if $(filter 1,$(FORCE)),--force)

lint: install  ## ruff and mypy
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

test-unit: install  ## unit, Dag and integration tests in two processes, with coverage of include/lifecycle
	@$(PY) -m pytest tests/unit tests/dags tests/integration tests/contract -m "not scenario" -n 2 --dist loadfile --cov --cov-report=term:skip-covered

loop: install  ## one loop on a stack of its own: free ports, own folder, stopped and deleted afterwards
	@local=$$(mktemp -d -t modelops-loop-XXXXXX) && echo "loop in $$local" && \
	  $(STACK) run --local "$$local" --free-ports --down && $(STACK) reset --local "$$local" --force

test: lint test-unit loop  ## lint, types, tests, and one loop on a stack of its own

scenarios: install  ## every other story, each on a stack of its own
	@$(PY) -m pytest tests/scenarios -m scenario

bench: install  ## measure the stated claims (CLAIM="fetch tuning" for some, ARGS=--tiny for small sizes); about a quarter of an hour
	@$(PY) -m benchmarks $(CLAIM) $(ARGS)
