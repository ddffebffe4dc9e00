# make demo: from a fresh machine to a deployed subnet.   make test: to a green suite.
# Both make the virtual environment themselves, from PyPI, with the versions of constraints.txt.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
JOBS   ?= 2
READY  := $(VENV)/.ready

.PHONY: help demo test lint format clean

help:
	@sed -n 's/^## //p' Makefile

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 10) <= v < (3, 13) else f"Python {v[0]}.{v[1]} found, 3.10 to 3.12 needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,onnx2tf]"
	@touch $(READY)

## make demo    profile this machine, train a supernet, search it, export the subnet (in ./demo)
demo: $(READY)
	@PATH="$(abspath $(BIN)):$$PATH" ./demo.sh

## make test    format, lint, types and the whole test suite
test: lint
	$(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

## make lint    format, lint and types alone
lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

## make format  put the code into the house's format
format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) demo build dist *.egg-info
