# Two commands matter: `make demo` and `make test`. Each does the whole set-up on a fresh Debian machine.
# `make test` and `make prove` together are all tests, each of them in one of the two.
.DEFAULT_GOAL := help
.PHONY: help demo test prove quick same-tests check next-aiohttp soak fuzz format bench docs texts package release pin clean

PYTHON ?= python3
# A Python that is named has an environment of its own, beside the usual one.
VENV   := $(if $(filter python3,$(PYTHON)),.venv,.venv-$(notdir $(PYTHON)))
BIN    := $(VENV)/bin
MINUTES ?= 60
AIOHTTP ?= aiohttp
BENCH   ?= --write
SEED    ?=
KEY     ?=
LOAD    ?= 0
# Bytecode is kept: half a thousand files, which each worker of the tests would compile for itself.
unexport PYTHONDONTWRITEBYTECODE

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

demo: $(VENV)/.run ## load 10,000 opening balances into an embedded billing, kill the load, resume it, verify
	@$(BIN)/carbon-migrate demo

test: $(VENV)/.dev .ci/.packages-test ## all behaviour, in a random order; SEED=… for the same one again, LOAD=2 beside two busy processes
	@.ci/beside $(LOAD) $(BIN)/python -m pytest -n auto --maxschedchunk 2 -m "not prove" $(SEED:%=--randomly-seed=%)

prove: $(VENV)/.dev .ci/.packages-test ## what surrounds it: clean Debian roots, documentation, browsers, long seeds of both crash labs
	@.ci/beside $(LOAD) $(BIN)/python -m pytest -n auto --maxschedchunk 2 -m "prove" $(SEED:%=--randomly-seed=%)

quick: $(VENV)/.dev ## the tests that need no billing and no second process, in less than a minute
	@$(BIN)/python -m pytest -q -n "$$(nproc)" -m "not slow"

same-tests: $(VENV)/.dev
	@.ci/same-tests $(BIN)/python

check: $(VENV)/.dev ## ruff and mypy over everything
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

next-aiohttp: $(VENV)/.dev ## the tests of the API with the newest aiohttp; AIOHTTP=… for another one
	@.ci/next-aiohttp $(BIN)/python "$(AIOHTTP)"

soak: $(VENV)/.run ## an hour of the crash lab; MINUTES=… for another time
	@$(BIN)/carbon-migrate selftest --minutes $(MINUTES)

fuzz: $(VENV)/.dev ## an hour of inputs that are drawn by the code they reach, for all that reads what comes from outside; MINUTES=…
	@$(BIN)/python -m tests.fuzz.fuzz $(MINUTES)

format: $(VENV)/.dev ## let ruff format and mend what it can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(VENV)/.dev .ci/.packages-bench ## ten minutes of benchmarks, into docs/benchmarks.md; BENCH=--quick for two
	@$(BIN)/python -m benchmarks $(BENCH)

docs: $(VENV)/.dev ## the documentation as pages, in docs/_build; what of it is made from the code is written anew
	$(BIN)/python -m tools.reference --write
	$(BIN)/python -m tools.pages

texts: $(VENV)/.dev ## collect the sentences of the code into cli/locale, those of the pages into docs/locale, to be translated there
	@$(BIN)/python -m tools.catalogues --write
	@$(BIN)/python -m tools.pages --write

package: $(VENV)/.dev ## wheel, .deb, man pages, SBOM, provenance and checksums into dist/, of the version in pyproject.toml
	@$(BIN)/python -m tools.package

release: $(VENV)/.dev ## package a commit that has its tag, and sign the checksums; KEY=… is an SSH key of packaging/allowed_signers
	@$(BIN)/python -m tools.package --sign "$(KEY)"

pin: $(VENV)/.dev ## write requirements/*.txt anew from pyproject.toml
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command 'make pin' --group build pyproject.toml -o requirements/run.txt
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command 'make pin' --group build --group test --group check --group docs --group package --extra pdf --extra postgres pyproject.toml -o requirements/dev.txt
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command 'make pin' --extra pdf --extra postgres --constraint requirements/dev.txt pyproject.toml -o requirements/package.txt

clean: ## remove what the other commands made
	rm -rf .venv .venv-* .demo .fuzz docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis .ci/.packages-* .ci/.clean-root* dist

# ---- set-up ---------------------------------------------------------------------------------------------------

# The virtual environment for running: pinned versions, checked hashes, then this project itself with its catalogues.
PROJECT := pyproject.toml $(wildcard cli/locale/*/LC_MESSAGES/*.po) .ci/.packages-run
$(VENV)/.run: requirements/run.txt $(PROJECT)
	@.ci/venv $(PYTHON) $(VENV) requirements/run.txt
	@touch $@

# All that runs is among what develops, in the same versions.
$(VENV)/.dev: requirements/dev.txt $(PROJECT)
	@.ci/venv $(PYTHON) $(VENV) requirements/dev.txt
	@touch $@ $(VENV)/.run

.ci/.packages-%: .ci/packages
	@.ci/packages $*
	@touch $@
