# The front door: `make` lists the verbs. Each sets up what it needs first, which is quick when nothing is missing.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
BIN := .venv/bin

# What decides has no excuse for an untested branch.
DECIDERS := src/doctor/inspector/*,src/doctor/alarms/*,src/doctor/fencing/*,src/doctor/notifier/*,src/doctor/profiler/*,src/doctor/recovery/*,src/doctor/maintenance/*,src/doctor/model/*,src/doctor/kit/*
COVERAGE_NEEDED := 95

# Tests wait more than they work. Those of one file stay together, and in the order of the files.
TWO_AT_A_TIME := --numprocesses 2 --dist loadfile --no-loadscope-reorder

.PHONY: help
help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

.PHONY: setup
setup: ## make .venv ready for work on Doctor
	@scripts/setup dev

.PHONY: demo
demo: ## from nothing to a delivered notification: a host fails, its owner is told
	@scripts/setup run
	@$(BIN)/doctor demo $(ARGS)

.PHONY: test
test: ## run all tests and see that what decides is covered; ARGS="-k ping -x" are for pytest
	@scripts/setup dev
	@mkdir -p build/coverage
	@$(BIN)/pytest $(or $(ARGS),$(TWO_AT_A_TIME) --cov --cov-report=)
	@$(if $(ARGS),:,scripts/coverage-gate $(COVERAGE_NEEDED) "$(DECIDERS)")

.PHONY: test-openstack
test-openstack: ## test on a real OpenStack control plane, which is started on this machine first (root, Debian 12)
	@scripts/setup dev
	@testbeds/openstack/up
	@DOCTOR_TEST_OPENSTACK=1 $(BIN)/pytest tests/openstack $(ARGS)
	@echo "the testbed stays up for the next time; to stop it: testbeds/openstack/down"

.PHONY: check
check: ## format, lint, types, layers, and the repository itself; changes nothing
	@scripts/setup dev
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python scripts/check_repository.py
	scripts/requirements --check

.PHONY: fix
fix: ## format, and mend what ruff can mend by itself
	@scripts/setup dev
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

.PHONY: bench
bench: ## measure the hot path against its floors
	@scripts/setup run
	@$(BIN)/doctor bench $(ARGS)

.PHONY: docs
docs: ## build the documentation into build/docs
	@scripts/setup dev
	@scripts/requirements --check
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -d build/doctrees docs build/docs
	@echo "see build/docs/index.html"

.PHONY: soak
soak: ## the test suite with its long rounds (DOCTOR_SOAK=1), thousands of simulated weeks among them; takes its time
	@scripts/setup soak
	@DOCTOR_SOAK=1 $(BIN)/pytest $(ARGS)

.PHONY: lock
lock: ## remake requirements/ from pyproject.toml; ARGS=--upgrade takes newer versions
	@scripts/lock $(ARGS)

.PHONY: clean
clean: ## remove what builds and tools have left; .venv stays
	@rm -rf build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .schemathesis
	@find src tests scripts docs -name __pycache__ -type d -prune -exec rm -rf {} +
