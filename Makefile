# Bursar. `make` alone lists the verbs. Needs Python 3.11 or newer and make; all else goes in .venv.

PYTHON ?= python3
PYTEST_ARGS ?= -n auto --maxprocesses 4

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# A .venv knows where it stands: one that was copied or moved along with its folder is made anew.
MOVED := $(shell [ "$$(cat .venv/python 2>/dev/null)" = "$(CURDIR)" ] || echo moved)
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint mutants bench docs moved

help: ## List these verbs
	@sed -n 's/^\([a-z]*\):.* ## /\1|/p' Makefile | while IFS='|' read -r verb line; do \
	  printf 'make %-7s %s\n' "$$verb" "$$line"; done

setup: .venv/dev ## Make .venv with Bursar and what its tests need (other verbs do it by themselves)
	@echo "ready: $(BIN)/bursar"

demo: .venv/core ## Show what Bursar finds: in your own agent's transcripts if you agree, else in a sample
	@$(BIN)/bursar demo

test: .venv/dev ## Run the tests; PYTEST_ARGS="-k price -x" picks some
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: .venv/lint ## Check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

mutants: .venv/dev ## Plant bugs in the books of budgets, and show by which law each is caught
	@PYTHONPATH=tests $(BIN)/python -m state.mutants

bench: .venv/dev ## Run the benchmarks, one file after the other; each prints its figures
	@found=; for file in benchmarks/[a-z]*.py; do \
	  [ -e "$$file" ] || continue; found=1; echo "== $$file"; $(BIN)/python "$$file" || exit 1; \
	done; [ -n "$$found" ] || echo "no benchmarks/*.py here"

docs: .venv/core ## Write the generated pages of docs/reference
	@if [ -e src/bursar/reference.py ] || [ -e src/bursar/reference ]; then \
	  $(BIN)/python -m bursar.reference; \
	else echo "nothing to write: there is no bursar.reference"; fi

# Stamps: pip runs again only when the pins, the version or the place have changed.
.venv/core: .venv/python src/bursar/__init__.py
	@echo "installing Bursar into .venv"
	@$(PIP) -e '.[gateway,demo]'
	@touch $@

.venv/dev: .venv/core
	@echo "installing what the tests need into .venv"
	@$(PIP) -e '.[gateway,otel,redis,demo,dev]'
	@touch $@

.venv/lint: .venv/dev
	@command -v node >/dev/null || { echo "installing Node.js for pyright into .venv"; \
	  $(PIP) -e '.[node]'; }
	@touch $@

.venv/python: pyproject.toml constraints.txt $(MOVED)
	@python="$(PYTHON)"; new='import sys; sys.exit(sys.version_info < (3, 11))'; \
	if [ "$(origin PYTHON)" = file ]; then \
	  for one in python3 python3.14 python3.13 python3.12 python3.11; do \
	    if $$one -c "$$new" 2>/dev/null; then python=$$one; break; fi; done; fi; \
	if ! $$python -c "$$new" 2>/dev/null; then \
	  echo "Bursar needs Python 3.11 or newer, and $$python is" \
	    "$$($$python --version 2>/dev/null || echo 'not to be found')."; \
	  echo "mend: install one, or say where it is: make PYTHON=/path/to/python3.12"; exit 1; fi >&2; \
	if [ "$(MOVED)" ] || ! $(BIN)/python -c "$$new" 2>/dev/null; then \
	  $$python -m venv --clear .venv; fi
	@echo "$(CURDIR)" > $@
