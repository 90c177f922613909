# Two commands on a fresh machine: `make demo` and `make test`.
# Each sets up all it needs (virtual environment, pinned dependencies, the default model) and
# re-uses what an earlier one set up.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STORE ?=

# A plain torch would draw gigabytes of CUDA packages, so constraints.txt pins the CPU set-up's
# version; where an NVIDIA driver answers, its line and triton's are left out and the CUDA build is taken.
CUDA := $(shell nvidia-smi -L >/dev/null 2>&1 && echo yes)

.PHONY: demo test lint types unit oldest newest setup setup-dev model programs clean

demo: setup model
	$(BIN)/flashtrace-agent demo $(if $(STORE),--store $(STORE))

test: setup-dev model programs lint types unit oldest newest

setup: $(VENV)/.ready-demo
setup-dev: $(VENV)/.ready-dev

$(VENV)/constraints.txt: constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("flashtrace-agent needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(if $(CUDA),grep -vE '^(torch|triton)==' constraints.txt > $@,cp constraints.txt $@)

$(VENV)/.ready-demo: pyproject.toml $(VENV)/constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check setuptools -c $(VENV)/constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation \
		-c $(VENV)/constraints.txt -e '.[demo]'
	touch $@

$(VENV)/.ready-dev: $(VENV)/.ready-demo
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation \
		-c $(VENV)/constraints.txt -e '.[dev]'
	touch $@

model: setup
	$(BIN)/flashtrace-agent models fetch

# Chromium and PostgreSQL, which the tests drive; on Debian and Ubuntu they are installed here.
programs:
	@sh scripts/install-test-programs

lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Type checkers cannot follow the mapping of four folders onto one package, so the wheel is checked.
types: setup-dev
	rm -rf build .make/typed && mkdir -p .make/typed
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation \
		-w .make/typed .
	$(BIN)/python -m zipfile -e .make/typed/*.whl .make/typed
	cd .make/typed && MYPYPATH=. $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml -p flashtrace_agent

# A process a core, each with one thread of arithmetic; a file's tests stay together, for what they share.
unit: setup-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

# The handler with the oldest LangChain that pyproject.toml allows, and with the newest there is. Only those
# packages are installed, each set into a folder that comes before the environment's own.
oldest newest: %: .make/%/.ready
	PYTHONPATH=.make/$@ $(BIN)/python -m pytest -q -p no:cacheprovider -m "not slow and not model" \
		-k "not chat_model and not generation and not attribution" tests/integrations/langchain

.make/%/.ready: tests/%-langchain.txt $(VENV)/.ready-dev
	rm -rf .make/$*
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target .make/$* -r $<
	touch $@

clean:
	rm -rf $(VENV) .make build test-output
