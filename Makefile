# Two commands: `make demo` opens the screen on a real cluster, `make test` runs every check.
# Both set up what they need in .venv; nothing else on the machine is touched.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# More than two cores have: tests that wait for an engine or a terminal leave theirs to others. With six, a fifth of two
# cores had nothing to do.
WORKERS ?= 8
PYTEST := $(BIN)/python -m pytest --dist loadgroup --no-loadscope-reorder --numprocesses

# Every worker and every hettui that a test starts reads the same modules: compiled once is enough.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test tested test-fast check lint types contracts format pictures docs clean

demo: $(VENV)/.installed
	$(BIN)/hettui demo
	@echo "again: $(BIN)/hettui demo; your own cards: $(BIN)/hettui"

# Types take one core for as long as everything else in `check`: the tests have the other one meanwhile.
test: $(VENV)/.installed-dev
	@$(MAKE) --no-print-directory --jobs 2 --output-sync lint contracts $(VENV)/.compiled
	@$(MAKE) --no-print-directory --jobs 2 types tested

tested: $(VENV)/.installed-dev
	$(PYTEST) $(WORKERS)

# For daily work, a minute: no engine, no tmux, every screen in one size and theme only, no hundreds of cases, and of
# random ones a fifth. No groups that belong to one worker are left: a few tests at a time are dealt out faster.
test-fast: $(VENV)/.installed-dev
	$(PYTEST) 4 --dist load --maxschedchunk 4 --hypothesis-profile=daily -m "not engine and not tmux and not matrix and not many" \
		$(addprefix tests/,domain services adapters wiring ui)

check: $(VENV)/.installed-dev
	@$(MAKE) --no-print-directory --jobs 3 --output-sync lint types contracts

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

contracts: $(VENV)/.installed-dev
	$(BIN)/lint-imports
	$(BIN)/python -m tests.house
	$(BIN)/python -m tests.lean

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

pictures: $(VENV)/.installed-dev
	$(BIN)/python -m tests.pictures

docs: $(VENV)/.installed-dev
	$(BIN)/python -m tests.documentation

# Workers that begin together would each compile every test: a third of a minute of both cores in a fresh clone.
$(VENV)/.compiled: | $(VENV)/.installed-dev
	-@$(BIN)/python -m pytest --collect-only --quiet >/dev/null
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "hettui needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "hettui and its llama.cpp come into $(VENV): about a minute, once"
	@{ $(BIN)/python -m pip install --disable-pip-version-check --progress-bar on --editable '.[demo]'; \
		echo $$? > $(VENV)/.pip; } | \
		grep --line-buffered -E '^(Collecting|Downloading|Installing|Successfully)'; exit $$(cat $(VENV)/.pip)
	@$(BIN)/hettui --version
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	@command -v tmux >/dev/null || { echo "the tests drive the real screen in tmux: install tmux first"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[demo,dev]'
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
