# All commands of the project. `make help` lists them.
# A fresh machine needs Python 3.11 or newer and make; the rest is fetched into .venv and a cache.

PYTHON ?= python3
BIN    := .venv/bin
UV     := 0.13.8
SITE   := book/_build/html

export PATH := $(CURDIR)/$(BIN):$(PATH)
# Trust what the machine trusts: many schools and companies have certificates of their own.
export UV_SYSTEM_CERTS := 1

.DEFAULT_GOAL := help
.PHONY: help install assets book book-build lab test lint bench clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: .venv/.installed ## make .venv with the pinned versions of all packages

.venv/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "mixedlab needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version)."; \
	  echo "Name another one: make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { \
	  rm -rf .venv; echo "On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@test -x $(BIN)/uv || { echo "[install] uv $(UV) ..."; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV); }
	@echo "[install] the packages of requirements.lock ..."
	@uv pip install --quiet --python $(BIN)/python -r requirements.lock
	@uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

assets: install ## fetch what the site serves itself: Pyodide, MathJax
	@python book/_ext/assets.py

book: book-build ## build the book, serve it and print its address
	@python book/_ext/serve.py $(SITE)

book-build: assets ## build the book into book/_build/html
	@jupyter-book build book -W --keep-going

lab: install ## open the book's notebooks and the exercises in JupyterLab
	@python book/_ext/notebooks.py notebooks
	@jupyter lab notebooks

test: install ## run all tests, those in a real browser among them
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 pytest -n 2 --dist worksteal

lint: install ## check style and formatting
	@ruff check . && ruff format --check .

bench: install ## run the benchmarks, side by side with other programs
	@for script in benchmarks/*.py; do echo "== $$script"; python $$script || exit 1; done

clean: ## remove what was built (not .venv, not the cache of downloads)
	rm -rf book/_build notebooks .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
