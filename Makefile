# Everything a fresh machine needs: Python ≥ 3.11, git, make and a network.
# `make demo` and `make test` do their whole set-up; a second run finds it done, and works offline.

PYTHON ?= python3
BUF_VERSION := 1.75.0

BIN := .venv/bin
READY := .venv/.ready
STUBS := unify_grpc/_pb/__init__.py
BUF := .tools/node_modules/.bin/buf
PROTOS := $(shell find protos -name '*.proto') protos/build_stubs.py
# What is checked: packages, tests and benches that are there.
CODE := $(wildcard unify_grpc actors clients/python bench tests protos)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup tools demo test lint format types imports protos pytest chaos lock clean

help: ## Says what there is to make.
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

setup: $(READY) $(STUBS) ## Makes the virtual environment and the stubs.

demo: setup ## Runs the service embedded, with a customer's journey through it.
	$(BIN)/unify demo

test: lint pytest ## Checks style, types, imports and protos, then runs the tests.

lint: format types imports protos ## Checks style, types, imports and protos.

format: setup
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)

types: setup
	$(BIN)/mypy $(CODE)

imports: setup
	$(BIN)/lint-imports --no-cache

# buf comes from npm alone, so its part is skipped where npm is not.
ifeq ($(shell command -v npm 2>/dev/null),)
protos:
	@echo 'buf lint skipped: it is installed by npm, and npm is not here.'
else
protos: $(BUF)
	$(BUF) lint protos
	$(BUF) format --diff --exit-code protos
endif

# Real SDKs and a browser for tests/sdks, a load generator for the benches' tests;
# UNIFY_TEST_WITHOUT=node,browser goes without.
tools:
	@sh tests/install.sh

# A file stays with one worker, and long ones do not come last. A service takes two cores by itself:
# more workers are for machines with many.
TEST_WORKERS ?= 2

pytest: setup tools
	$(BIN)/pytest --numprocesses $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder

# Goes on where it was stopped, by ^C too, and counts in .chaos/; --report instead says how many.
# What one step finds keeps none of the others from running.
CHAOS_MINUTES ?= 10
CHAOS_LMDB_MINUTES ?= 2
CHAOS_WORKERS ?= 2
CHAOS_KILLS ?= 50

chaos: setup ## Runs fresh schedules for CHAOS_MINUTES and CHAOS_KILLS real kills, and counts them.
	@failed=0; trap 'exit 130' INT; \
	$(BIN)/python -m tests.simulation --fresh \
		--minutes $(CHAOS_MINUTES) --workers $(CHAOS_WORKERS) || failed=1; \
	$(BIN)/python -m tests.simulation --fresh --lmdb \
		--minutes $(CHAOS_LMDB_MINUTES) --workers $(CHAOS_WORKERS) || failed=1; \
	$(BIN)/python -m tests.chaos --kills $(CHAOS_KILLS) || failed=1; \
	exit $$failed

lock: setup ## Compiles requirements/ anew from pyproject.toml.
	$(COMPILE) pyproject.toml --extra server -o requirements/server.txt
	$(COMPILE) pyproject.toml --extra server --group dev -o requirements/dev.txt
	$(COMPILE) --group pyproject.toml:bootstrap -c requirements/dev.txt \
		-o requirements/bootstrap.txt
	cd tests/sdks && npm install --silent --package-lock-only --ignore-scripts --no-audit \
		--no-fund --omit-lockfile-registry-resolved && node strip_lock.cjs

# Locked by hash, for every platform, and without naming the host that packages come from.
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links

clean: ## Removes what set-up and tools have made.
	rm -rf .venv .tools unify_grpc/_pb build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The project is installed without build isolation: what builds it is in dev.txt, locked like the
# rest. The stamp is written last, so a set-up that failed half-way starts over.
$(READY): requirements/bootstrap.txt requirements/dev.txt pyproject.toml protos/build_stubs.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Unify needs Python 3.11 or later: make PYTHON=/path/to/python3 …'; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--require-hashes -r requirements/bootstrap.txt
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --offline \
		--no-build-isolation --no-deps --editable .
	touch $@

$(STUBS): $(READY) $(PROTOS)
	$(BIN)/python protos/build_stubs.py

$(BUF): Makefile
	npm install --silent --no-save --no-package-lock --no-audit --no-fund --ignore-scripts \
		--prefix .tools @bufbuild/buf@$(BUF_VERSION)
	touch $@
