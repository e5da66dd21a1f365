# Two commands matter: `make book` and `make test`. `make` alone lists the rest.
#
#   PYTHON=python3.12 make book   picks the Python that the environment is made with
#   UV= make book                 installs with pip although uv is there

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
UV ?= $(shell command -v uv 2>/dev/null)
INSTALL = $(if $(UV),$(UV) pip install --python $(BIN)/python,$(BIN)/python -m pip install --disable-pip-version-check)
SITE := _build/html/index.html
PORT ?= 8000
PYTEST_ARGS ?= -n logical --maxprocesses 4 --dist worksteal

# The first Python of a supported version, unless PYTHON says which.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	if $$python -c '$(SUPPORTED)' >/dev/null 2>&1; then echo $$python; break; fi; done)

.DEFAULT_GOAL := help
.PHONY: help install book test test-all check lint notebooks bench lab serve pdf clean lock gpu
.DELETE_ON_ERROR:

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | awk -F'|' '{printf "  make %-9s %s\n", $$1, $$2}'

install: $(INSTALLED) ## make .venv with the locked dependencies

book: $(INSTALLED) ## train what is missing, execute what is stale, build the site
	@$(BIN)/miiii book

test: $(INSTALLED) ## run the tests that a change is most likely to break
	@$(BIN)/python -m pytest $(PYTEST_ARGS) -m "not thorough"

test-all: $(INSTALLED) ## run all tests; of the built site too, where it and a browser are there
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(INSTALLED) ## of the tests, those of the built site alone
	@$(BIN)/python -m pytest $(PYTEST_ARGS) tests/test_browser.py

lint: $(INSTALLED) ## check format, style, types, imports, spelling, notebooks
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/codespell book miiii_core miiii_book tests tools benchmarks *.md
	@$(BIN)/python -m tools.notebooks --check

notebooks: $(INSTALLED) ## write the chapters as notebooks, for Colab and Binder
	@$(BIN)/python -m tools.notebooks

bench: $(INSTALLED) ## measure our training step against others
	@$(BIN)/python -m benchmarks

lab: $(INSTALLED) ## open the chapters in JupyterLab
	@$(BIN)/jupyter lab book

serve: $(INSTALLED) ## serve the built site on this machine
	@test -f $(SITE) || { echo "no site yet: run make book first" >&2; exit 1; }
	@$(BIN)/python -c 'import socket; socket.create_server(("127.0.0.1", $(PORT)))' 2>/dev/null || { \
		echo "port $(PORT) will not do, it may be in use; name another: make serve PORT=8001" >&2; exit 1; }
	@$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

pdf: $(INSTALLED) ## print the story into one PDF (needs Chromium); PDF_ARGS=--all: every page
	@$(BIN)/python -m tools.print_book $(PDF_ARGS)

clean: ## remove the site and the executed chapters; runs and .venv stay
	@rm -rf _build _run

lock: $(INSTALLED) ## resolve the dependencies anew (needs uv)
	@test -n "$(UV)" || { echo "make lock needs uv: https://docs.astral.sh/uv/" >&2; exit 1; }
	@$(UV) pip compile --quiet --universal --upgrade --python-version 3.11 --fork-strategy fewest \
		--extra book --extra dev --extra search --no-annotate --no-emit-index-url \
		--custom-compile-command "make lock" --output-file requirements.lock pyproject.toml

gpu: $(INSTALLED) ## add the CUDA build of jax to .venv (NVIDIA, Linux)
	@$(INSTALL) --constraint requirements.lock --editable '.[gpu]'

# One stamp for the whole environment: it is as old as the files that decide what is in it.
$(INSTALLED): pyproject.toml requirements.lock tools/lab_settings.json
	@if [ ! -x $(BIN)/python ]; then \
		if [ -z "$(PYTHON)" ]; then \
			echo "No Python from 3.11 to 3.13 was found (python3 is $$(python3 --version 2>&1 || true))." >&2; \
			echo "Install one, or say where it is: PYTHON=/path/to/python3.12 make" >&2; exit 1; \
		fi; \
		$(PYTHON) -c '$(SUPPORTED)' 2>/dev/null || { \
			echo "PYTHON=$(PYTHON) is $$($(PYTHON) --version 2>&1); this book takes Python 3.11 to 3.13." >&2; exit 1; }; \
		echo "making $(VENV) with $$($(PYTHON) --version)"; \
		if [ -n "$(UV)" ]; then $(UV) venv --quiet --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV); \
		else $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
			echo "python -m venv failed; on Debian and Ubuntu install python3-venv first" >&2; exit 1; }; fi; \
	fi
	@echo "installing the locked dependencies (once; about a gigabyte)"
	@$(INSTALL) --constraint requirements.lock --editable '.[book,dev]'
	@mkdir -p $(VENV)/share/jupyter/lab/settings
	@cp tools/lab_settings.json $(VENV)/share/jupyter/lab/settings/overrides.json
	@touch $@
