# Two commands are all there is to it: `make demo` and `make test`.
# README.md shows the same lines for people without make.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test system fast fuzz coverage lint docs bench-peers clean

demo: .venv/.installed
	$(BIN)/localprompt models pull smollm2-135m
	$(BIN)/localprompt run summarize -p text=@benchmarks/demo.txt
	$(BIN)/localprompt runs show last

# A core runs the tests of a file; tests/conftest.py says how many cores.
test: .venv/.dev
	$(BIN)/localprompt models pull smollm2-135m
	$(BIN)/python -m pytest -n auto --dist loadfile

# For all users of this machine, as root: the program in PREFIX, its command in LINKS, the starter
# model in the shared store, everything for all to read. docs/guide/team.md says more.
PREFIX ?= /opt/localprompt
LINKS ?= /usr/local/bin
# A Python in somebody's home would be for that user alone: said before anything is installed.
system:
	@$(PYTHON) -c "import pathlib, sys; own = pathlib.Path(sys.executable).resolve(); \
	  closed = [str(folder) for folder in own.parents if not folder.stat().st_mode & 1]; \
	  sys.exit(f'error: not all users may run {own}: {closed[-1]} is closed to them\\n' \
	    '  try:      make system PYTHON=/usr/bin/python3' if closed else 0)"
	umask 022 && $(PYTHON) -m venv $(PREFIX)
	umask 022 && $(PREFIX)/bin/python -m localprompt.compiling
	umask 022 && $(PREFIX)/bin/python -m pip install --quiet --constraint constraints.txt .
	umask 022 && mkdir -p $(LINKS)
	ln -sf $(PREFIX)/bin/localprompt $(LINKS)/localprompt
	$(PREFIX)/bin/localprompt models pull smollm2-135m --system

# No model, nothing slow: what to run while writing.
fast: .venv/.dev
	$(BIN)/python -m pytest -q -n auto --dist loadfile -m "not model and not slow"

# What strangers could feed every door, for an hour; the seed is printed, findings are kept.
fuzz: .venv/.dev
	$(BIN)/python -m tests.adversarial --seconds 3600

# Branches that the fast tests take; reported, not gated.
coverage: .venv/.dev
	$(BIN)/python -m coverage run --branch --source localprompt -m pytest -q -m "not model and not slow"
	$(BIN)/python -m coverage report --skip-covered --sort cover

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/.dev
	$(BIN)/python docs/generate.py

# On a quiet machine; benchmarks/README.md says how to read the result.
bench-peers: .venv/.installed
	$(BIN)/localprompt models pull smollm2-135m
	$(BIN)/python -m benchmarks.peers --install-llm

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m localprompt.compiling
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

.venv/.dev: .venv/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf .venv build dist
