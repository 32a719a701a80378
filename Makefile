# Everything happens in .venv, which `make install` creates; `make help` lists the targets.
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help install test check format bench demo clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -e '.[dev]'
	touch $@

install: .venv/installed ## make .venv and install coordnet into it, with all tools

test: .venv/installed ## run the suite (under 10 minutes on 2 cores)
	$(BIN)/pytest

check: .venv/installed ## format, lint and types, changing nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python

format: .venv/installed ## format the code and mend what lint can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/installed ## measure speed and quality, and write benchmarks/README.md (an hour and more)
	$(BIN)/pip install -q -e '.[bench]'
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/quality.py
	$(BIN)/python benchmarks/readme.py --into README.md

demo: .venv/installed ## fit the built-in portrait and write a page about it into coordnet-demo/
	$(BIN)/coordnet demo

clean: ## remove what was built, .venv too
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis coordnet-demo out
