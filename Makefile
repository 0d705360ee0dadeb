# `make` lists the targets. Each installs what it needs into a virtual environment of this folder's own, again when
# setup.cfg has changed. Variables to give on the command line:
#   PYTHON   interpreter to make the environment with (default: the first usable one, Python 3.10 or later)
#   VENV     where the environment is (default .venv)
#   BIN      folder with the programs of an environment that is ready; nothing is installed then (tox does so)
#   JOBS     processes that run tests side by side (default 3, since some of them wait)
#   SELECT   pytest marker expression (default: neither servers, benchmarks nor the long ones)
#   ARGS     further arguments for pytest, as in: make test ARGS="-k queue -x"

SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:

VENV ?= .venv
BIN ?= $(VENV)/bin
JOBS ?= 3
SELECT ?= not service and not bench and not slow
ARGS ?=

export PIP_DISABLE_PIP_VERSION_CHECK = 1

# A stamp each for "can run the demo" and "can do everything"; none when BIN names an environment of somebody else's.
DEV := $(VENV)/.installed-dev
DEMO := $(if $(wildcard $(DEV)),$(DEV),$(VENV)/.installed-demo)
ifneq ($(findstring command,$(origin BIN)),)
DEV :=
DEMO :=
endif

# Interpreters are tried, not only found: a pyenv shim may stand for nothing, and a distribution may leave out venv.
USABLE = import ensurepip, sqlite3, ssl, sys, venv; sys.version_info < (3, 10) and sys.exit(1); print(sys.executable)
PYENV_VERSIONS = $${PYENV_ROOT:-$$HOME/.pyenv}/versions
CANDIDATES = $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python3.10 \
	$(foreach minor,13 12 11 10,$(PYENV_VERSIONS)/3.$(minor).*/bin/python) /usr/local/bin/python3 /usr/bin/python3 python)

# $(call first_usable,candidates): sets the shell variable `found` to the first that works, or to nothing.
first_usable = found=; for candidate in $(1); do \
	found=$$("$$candidate" -c '$(USABLE)' 2>/dev/null) && break; found=; done

# $(call pytest_phases,command): tests side by side first, then those that need the machine for themselves. Either
# selection may be empty (pytest's exit code 5), not both.
pytest_phases = outcome=0; ran=; \
	$(1) -n $(JOBS) -m "not serial and ($(SELECT))" $(ARGS) || outcome=$$?; \
	case $$outcome in 0 | 1) ran=1 ;; 5) outcome=0 ;; *) exit $$outcome ;; esac; \
	serial=0; $(1) -n 0 -m "serial and ($(SELECT))" $(ARGS) || serial=$$?; \
	case $$serial in 0) ran=1 ;; 5) ;; *) exit $$serial ;; esac; \
	if [ -z "$$ran" ]; then echo "No test was selected." >&2; exit 5; fi; \
	exit $$outcome

.PHONY: help
help: ## List the targets
	@echo "Targets:"
	@sed -n 's/^\([a-z][a-z-]*\):[^#]*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r target text; do \
		printf '  %-16s %s\n' "$$target" "$$text"; done
	@echo "Variables, as in 'make test PYTHON=python3.12 VENV=.venv-3.12': see the head of the Makefile."

# --- Environment -----------------------------------------------------------------------------------------------------

$(VENV)/bin/python:
	@$(call first_usable,$(CANDIDATES)); \
	if [ -z "$$found" ]; then \
		echo "No usable Python 3.10 or later (with venv, ssl and sqlite3) among: $(CANDIDATES)" >&2; \
		echo "Name one with: make PYTHON=/path/to/python3 $(MAKECMDGOALS)" >&2; exit 1; fi; \
	echo "Making $(VENV) with $$found"; "$$found" -m venv --clear "$(VENV)"

$(VENV)/.installed-demo: setup.cfg pyproject.toml | $(VENV)/bin/python
	@echo "Installing the package and what the demo needs into $(VENV)"
	@"$(VENV)/bin/python" -m pip install --quiet --editable . docutils
	@touch $@

$(VENV)/.installed-dev: setup.cfg pyproject.toml | $(VENV)/bin/python
	@echo "Installing the package and its development tools into $(VENV)"
	@"$(VENV)/bin/python" -m pip install --quiet --editable '.[dev]'
	@touch $@

# --- For everybody ---------------------------------------------------------------------------------------------------

.PHONY: demo
demo: $(DEMO) ## See it work: a real program measured two ways, and the report
	@"$(BIN)/python" examples/demo.py

.PHONY: test
test: $(DEV) ## Run the tests that need no server
	@$(call pytest_phases,"$(BIN)/python" -m pytest)

.PHONY: test-all
test-all: $(DEV) ## Run the tests on each other Python from 3.10 to 3.13 that is found
	@this=$$("$(BIN)/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); failed=; \
	for version in 3.10 3.11 3.12 3.13; do \
		[ "$$version" = "$$this" ] && continue; \
		$(call first_usable,python$$version $(PYENV_VERSIONS)/$$version.*/bin/python); \
		if [ -z "$$found" ]; then echo "Python $$version: not found, skipped"; continue; fi; \
		echo "Python $$version: $$found"; \
		$(MAKE) --no-print-directory test PYTHON="$$found" VENV=.venv-$$version || failed="$$failed $$version"; \
	done; \
	if [ -n "$$failed" ]; then echo "Failed on Python$$failed" >&2; exit 1; fi

.PHONY: test-slow
test-slow: $(DEV) ## Run the long tests: kills by the hundred, soaks, models with thousands of examples
	@HYPOTHESIS_PROFILE=ci "$(BIN)/python" -m pytest -n 0 -m "slow and not service and not bench" $(ARGS)

.PHONY: test-services
test-services: export REQUIRE_SERVICES ?= 1
test-services: $(DEV) ## Run the tests against real servers (with REQUIRE_SERVICES=0 those of absent servers are skipped)
	@"$(BIN)/python" -m pytest -n 0 -m service $(ARGS)

.PHONY: test-clients
test-clients: export REQUIRE_SERVICES ?= 1
test-clients: $(DEV) ## Run the search backends' tests with each older client of Elasticsearch, in environments of tox
	@"$(BIN)/tox" -q -e es6,es7,es8 -- -q

.PHONY: test-bare
test-bare: $(DEV) ## Run the tests that hold without any extra, in an environment of tox that has none
	@"$(BIN)/tox" -q -e nooptionals -- -q

.PHONY: coverage
coverage: $(DEV) ## Run the tests and hold their branch coverage to its threshold
	@"$(BIN)/coverage" erase
	@# Without those that want the machine for themselves: tracing would be most of what they measure.
	@"$(BIN)/coverage" run -m pytest -n $(JOBS) -m "not serial and ($(SELECT))" $(ARGS)
	@"$(BIN)/coverage" combine --quiet
	@"$(BIN)/coverage" report

.PHONY: check
check: ## Everything that needs no server, in under two minutes: lint, coverage, docs, build
	@$(MAKE) --no-print-directory lint coverage docs build SELECT='$(SELECT)'

.PHONY: bench
bench: $(DEV) ## Measure what measuring costs; wants a quiet machine
	@if [ -f tests/bench/__main__.py ]; then "$(BIN)/python" -m tests.bench $(ARGS); \
	else "$(BIN)/python" -m pytest -n 0 -s -m bench $(ARGS); fi

.PHONY: bench-services
bench-services: $(DEV) ## Race each backend against its official client, on the real servers (make services)
	@"$(BIN)/python" -m tests.bench.services $(ARGS)

# --- Code ------------------------------------------------------------------------------------------------------------

.PHONY: format
format: $(DEV) ## Format the code and mend what can be mended
	@"$(BIN)/ruff" check --fix-only --quiet .
	@"$(BIN)/ruff" format .

.PHONY: lint
lint: lint-style lint-types lint-imports lint-words ## Check style, types, imports, spelling and test docstrings (-k: all of them)

.PHONY: lint-style
lint-style: $(DEV)
	@"$(BIN)/ruff" check .
	@"$(BIN)/ruff" format --check .

.PHONY: lint-types
lint-types: $(DEV)
	@"$(BIN)/mypy"

.PHONY: lint-imports
lint-imports: $(DEV)
	@"$(BIN)/lint-imports" --config .importlinter

.PHONY: lint-words
lint-words: $(DEV)
	@"$(BIN)/codespell"
	@"$(BIN)/interrogate" --config setup.cfg tests

.PHONY: docs
docs: $(DEV) ## Check that every document renders without a warning
	@for document in *.rst docs/*.rst docs/*/*.rst backends/*.rst; do [ -f "$$document" ] || continue; \
		"$(BIN)/python" -m docutils --report=warning --halt=warning --syntax-highlight=none "$$document" /dev/null \
		|| exit 1; done

.PHONY: build
build: $(DEV) ## Build the source distribution and the wheel into dist/
	@rm -rf build dist
	@"$(BIN)/python" -m build

# --- Servers ---------------------------------------------------------------------------------------------------------

.PHONY: services
services: ## Start the servers that the service tests talk to
	@backends/services start

.PHONY: services-stop
services-stop: ## Stop those servers and remove their data
	@backends/services stop

.PHONY: services-status
services-status: ## Tell which of them answer
	@backends/services status

# --- Tidying ---------------------------------------------------------------------------------------------------------

.PHONY: clean
clean: ## Remove what building and testing left; environments stay
	@rm -rf build dist *.egg-info .coverage .coverage.* htmlcov .mypy_cache .pytest_cache .ruff_cache \
		.import_linter_cache .hypothesis .tox
	@find . -path './.venv*' -prune -o -name __pycache__ -type d -exec rm -rf {} +

.PHONY: clean-all
clean-all: clean ## Remove the virtual environments, too
	@rm -rf .venv .venv-3.1? .bench-envs
