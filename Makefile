# `make` alone lists what there is. Everything happens in .venv; nothing else is touched.
PYTHON ?= python3

VENV := .venv
BIN := $(VENV)/bin
# Written last, so that a setup that was cut short is done again.
STAMP := $(VENV)/.setup-done
# Whole files at a time: what a file's tests share is made once. PYTEST_ARGS="-n 0" goes one by one.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile
WEB := tests/engines
WEB_STAMP := $(WEB)/node_modules/.setup-done
KOTLIN := android_demo/kotlin-tools
KOTLIN_STAMP := android_demo/build/jars/.setup-done

.PHONY: help setup demo test test-slow lint bench lock android-tools android-test
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) $(WEB_STAMP) ## make .venv with everything in it (PYTHON=python3.12 picks the Python)

demo: $(STAMP) ## convert the shipped tiny model, let it write verse, measure it
	@mkdir -p build
	$(BIN)/edgegen demo -o build/tiny-shakespeare.task --force

test: $(STAMP) $(WEB_STAMP) ## run the tests, but for those of more than a minute
	$(PYTEST) -m "not slow" $(PYTEST_ARGS)

test-slow: $(STAMP) $(WEB_STAMP) ## run all tests
	$(PYTEST) $(PYTEST_ARGS)

lint: $(STAMP) ## check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python scripts/check_files.py $$(git ls-files)

bench: $(STAMP) ## measure the conversion of two real model shapes with random weights
	$(BIN)/python benchmarks/convert.py

android-tools: $(KOTLIN_STAMP) ## fetch the Kotlin compiler, which the app is checked with

android-test: $(STAMP) $(KOTLIN_STAMP) ## compile every Kotlin file, and test the app's core
	$(BIN)/python scripts/android_test.py

# PYTHONS="python3.11 python3.12" locks these alone; each must be installed.
PYTHONS ?= python3.10 python3.11 python3.12 python3.13
lock: $(STAMP) ## resolve requirements/lock-py3.X.txt anew
	$(BIN)/python scripts/lock.py $(PYTHONS)

# The lock must be that of the Python in .venv, which an earlier setup may have chosen.
$(STAMP): pyproject.toml $(wildcard requirements/lock-*.txt)
	@$(BIN)/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || { \
	  echo "error: $(PYTHON) cannot make a virtual environment"; \
	  echo "hint: on Debian apt-get install python3-venv, or name another: make setup PYTHON=..."; \
	  exit 1; }
	@lock=requirements/lock-py$$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])').txt; \
	test -f $$lock || { echo "error: there is no $$lock"; \
	  echo "hint: remove $(VENV), then: make setup PYTHON=python3.11"; exit 1; }; \
	echo "installing what $$lock names; the first time takes minutes"; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $$lock -e '.[dev]'
	@touch $@

# Only tests need it, so that what fails here stops them alone, and only where they must not skip.
$(WEB_STAMP): $(WEB)/package-lock.json
	@if ! command -v npm > /dev/null; then why="there is no npm here"; \
	elif ! npm ci --prefix $(WEB) --ignore-scripts --no-audit --no-fund; then why="npm ci failed"; \
	else touch $@; exit 0; fi; \
	if [ "$$EDGEGEN_REQUIRE_ENGINES" = 1 ]; then \
	  echo "error: $$why, and EDGEGEN_REQUIRE_ENGINES=1 wants MediaPipe's web engine"; exit 1; fi; \
	echo "note: $$why, so the tests of MediaPipe's web engine will be skipped"

# 94 MB from npm and 80 MB from PyPI, for those alone who work on the app.
$(KOTLIN_STAMP): $(KOTLIN)/package-lock.json $(KOTLIN)/requirements.txt | $(STAMP)
	npm ci --prefix $(KOTLIN) --ignore-scripts --no-audit --no-fund
	@wheels=$$(mktemp -d) && trap 'rm -rf "$$wheels"' EXIT && \
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps \
	  --require-hashes -r $(KOTLIN)/requirements.txt -d "$$wheels" && \
	$(BIN)/python scripts/android_test.py --take-jars "$$wheels"
	@touch $@
