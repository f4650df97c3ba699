# Every target sets up .venv by itself, from requirements.lock and, to test, tests/requirements.lock. PYTHON names the interpreter to do it with.
PYTHON ?= python3
SCALE ?= quick
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help reproduce test test-cluster lint clean

help: ## Show the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16
	@echo "Scales: smoke (minutes, toy sizes), quick (the default), paper. As in: make reproduce SCALE=smoke"

reproduce: .venv/ready ## Run every experiment at SCALE and write the report
	@$(BIN)/snakemake reproduce-all --config scale=$(SCALE)
	@echo "The report is at results/$(SCALE)/report.html"

test: .venv/tools lint ## Check the style and run the test suite
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not gpu and not cluster"

test-cluster: .venv/tools ## Run the smoke scale on a SLURM of one node that this brings up (root and Debian's packages)
	@$(BIN)/python -m pytest -m cluster tests/cluster

lint: .venv/tools ## Check the style of the code and of the workflow
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/snakefmt --check Snakefile workflow/Snakefile workflow/rules
	@$(BIN)/snakemake --lint --config scale=smoke

clean: ## Remove the environment; results stay
	rm -rf .venv

.venv/ready: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed, name one: make PYTHON=python3.12 ...")'
	@echo "Setting up .venv from requirements.lock (once, a minute or more: PyTorch is large)"
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.lock
	@touch $@

.venv/tools: .venv/ready tests/requirements.lock
	@echo "Adding the test tools and the official implementations of tests/requirements.lock (once, a minute or more)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --requirement tests/requirements.lock
	@touch $@
