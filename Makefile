# resmem: everything is set up in .venv by the targets that need it.
#   make demo    fit, remember, predict and evaluate on sample_data/
#   make test    the tests, on every core; RESMEM_TESTS=long, as .ci/run has it, also executes what takes minutes
#   make check   format, lint, import rules, types, tests
#   make bench           time and memory of the commands and of the search (an hour and more), and the paper's theorem
#   make bench-accuracy  accuracy on the data sets of RESMEM_DATA, beside other methods and published results
#   make bench-vision    the paper's claim on images (needs fashion_mnist in RESMEM_DATA)
#   make bench-language  the paper's claim on text, next tokens of Python's own help
#   make bench-shards    one graph against shards, of ROWS points (20,000,000 take hours)
#   make docs    write the outputs that README.md and docs/ show, and the command reference, again
#   make clean   remove everything that was made here but the results of benchmarks

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
DEMO := demo.resmem
# A worker that has run out of tests takes over half of another's: some files are long. Each computes in one thread
# (tests/conftest.py).
PYTEST := $(BIN)/python -m pytest -n logical --dist worksteal
RESMEM_DATA ?= ../shared/data
export RESMEM_DATA
# Every command that a test starts, and every worker, would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check bench bench-accuracy bench-vision bench-language bench-shards docs clean

demo: $(READY)
	$(BIN)/resmem fit-base sample_data/diamonds_train.csv --target price --id id --estimator linear --model $(DEMO)
	$(BIN)/resmem fit-residual sample_data/diamonds_train.csv --model $(DEMO) --effort quick
	$(BIN)/resmem predict sample_data/diamonds_new.csv --model $(DEMO) --output $(DEMO).csv
	head -4 $(DEMO).csv
	$(BIN)/resmem evaluate sample_data/diamonds_test.parquet --model $(DEMO)

test: $(READY)
	$(PYTEST)

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(PYTEST)

# matplotlib draws and is an extra.
bench: $(READY)
	$(BIN)/python -m pip install -q -e '.[bench]'
	for what in startup search trees throughput lightgbm_scoring growth many_classes wide bounded_memory busy_machine report resampling target_encoding theory; do \
		$(BIN)/python -m tests.bench.$$what || exit 1; done

# The other methods are an extra; what is finished is not repeated, so this can be stopped and started again.
# RESMEM_TABARENA names TabArena's published table (a CSV file); without it the report says that the ranks are left out.
bench-accuracy: $(READY)
	$(BIN)/python -m pip install -q -e '.[bench]'
	$(BIN)/python -m tests.bench.accuracy
	$(BIN)/python -m tests.bench.accuracy --protocol tabarena

bench-vision: $(READY)
	$(BIN)/python -m tests.bench.vision

bench-language: $(READY)
	$(BIN)/python -m tests.bench.language

bench-shards: $(READY)
	$(BIN)/python -m tests.bench.shards --rows $(or $(ROWS),200000)

docs: $(READY)
	$(BIN)/python -m tests.documents --write

clean:
	rm -rf $(VENV) $(DEMO) $(DEMO).csv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis \
		.import_linter_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# hnswlib has no wheel: it is compiled here. Without a compiler that ends in a long log, so it is asked for first.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "resmem needs Python 3.11 or newer; name one: make PYTHON=python3.12"; exit 1; }
	@command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null || { \
		echo "hnswlib is compiled while installing and there is no C++ compiler; install one (Debian: apt install g++)"; exit 1; }
	@$(PYTHON) -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' || { \
		echo "hnswlib is compiled while installing and Python.h is missing; install the Python headers (Debian: apt install python3-dev)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (the log is $(VENV)/install.log)"
	@$(BIN)/python -m pip install -e '.[dev]' >$(VENV)/install.log 2>&1 || { \
		grep -E '^(ERROR|error)' $(VENV)/install.log | head -5; \
		echo "installing failed (see $(VENV)/install.log); if hnswlib did not compile: HNSWLIB_NO_NATIVE=1 make $(MAKECMDGOALS)"; exit 1; }
	@touch $@
