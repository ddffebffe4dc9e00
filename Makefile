# make demo: from a fresh machine to a deployed subnet.   make test: to a green suite.
# Both make the virtual environment themselves, from PyPI, with the versions of constraints.txt.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
JOBS   ?= 2
READY  := $(VENV)/.ready
TESTED := $(VENV)/.ready-to-test
TESTS  := .[dev,litert-torch,onnx2tf]

.PHONY: help demo test lint format notebook setup setup-test same-python clean

help:
	@sed -n 's/^## //p' Makefile

# $(call install,REQUIREMENT): with uv, which takes a minute, or with pip, which takes several
define install
	@if $(BIN)/python -m uv --version >/dev/null 2>&1 && \
	    $(BIN)/python -m uv pip install --quiet --python $(BIN)/python -c constraints.txt -e "$(1)"; \
	then :; else \
	    echo "uv could not install the packages; pip does, which takes several minutes" >&2; \
	    $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e "$(1)"; \
	fi
endef

# a virtual environment with the four commands and what they need
$(READY): pyproject.toml constraints.txt | same-python
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 10) <= v < (3, 13) else f"Python {v[0]}.{v[1]} found, 3.10 to 3.12 needed: make PYTHON=python3.11")'
	@echo "installing into $(VENV)" >&2
	@$(PYTHON) -m venv "$(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv || \
	    echo "uv could not be installed" >&2
	$(call install,.)
	@touch $(READY)

# the same with the tools of the tests and every export format
$(TESTED): $(READY)
	@echo "installing the tools of the tests into $(VENV)" >&2
	$(call install,$(TESTS))
	@touch $(TESTED)

# an interpreter that was asked for is the one of the virtual environment that is there
same-python:
	@[ "$(origin PYTHON)" = file ] || [ ! -x $(BIN)/python ] || \
	    [ "$$($(PYTHON) -V)" = "$$($(BIN)/python -V)" ] || \
	    { echo "$(VENV) has $$($(BIN)/python -V), PYTHON=$(PYTHON) is $$($(PYTHON) -V): run 'make clean' first, or name another folder: make VENV=.venv2 PYTHON=$(PYTHON)" >&2; exit 1; }

## make demo    profile this machine, train a supernet, search it, export the subnet (in ./demo)
demo: $(READY)
	@PATH="$$(cd $(BIN) && pwd):$$PATH" ./demo.sh

## make test    format, lint, types and the whole test suite
test: lint
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

## make lint    format, lint and types alone
lint: $(TESTED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

## make format  put the code into the house's format
format: $(TESTED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

## make notebook   run docs/latency.ipynb and keep its outputs (needs the block tables)
notebook: $(TESTED)
	cd docs && "$(abspath $(BIN))/jupyter" execute --inplace latency.ipynb

## make setup   the virtual environment alone, for the four commands; setup-test: for the tests too
setup: $(READY)
setup-test: $(TESTED)

clean:
	rm -rf $(VENV) demo build dist *.egg-info
