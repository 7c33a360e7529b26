# Everything is installed into .venv. A stamp there, written last, says that a requirements file is installed:
# the second time is quick, and an install that was interrupted starts again. GNU make 3.81 (macOS) or later.

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help run test quick lint format clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile

run: .venv/run.stamp ## Open the dashboard (ARGS="--server.port 8600" goes to Streamlit)
	$(BIN)/streamlit run dashboard.py $(ARGS)

# Tests in a browser run one at a time: they look at what moves. ARGS may leave none of one half, which is status 5.
NONE = [ $$? = 5 -a -n "$(ARGS)" ]

test: lint ## Lint, then run all tests (ARGS="-k drawing" goes to pytest)
	$(BIN)/python tests/browser/chromium.py
	$(BIN)/python -m pytest -m "not browser" --numprocesses 2 $(ARGS) || $(NONE)
	$(BIN)/python -m pytest -m browser $(ARGS) || $(NONE)

quick: lint ## Lint, then run the tests that are neither slow nor in a browser
	$(BIN)/python -m pytest -m "not browser and not slow" --numprocesses 2 $(ARGS)

lint: .venv/dev.stamp ## Check style and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: .venv/dev.stamp ## Put the code into the format that lint expects
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## Remove .venv, caches and test leftovers; data and runs stay
	rm -rf .venv .pytest_cache .hypothesis .ruff_cache test-artifacts
	rm -f static/plotly-*.min.js static/*.partial
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/run.stamp: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "dlcore needs Python 3.11 or newer, and '$(PYTHON)' is not one:" \
			"install it, or say where it is, as in 'make $(MAKECMDGOALS) PYTHON=python3.12'." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/dev.stamp: requirements-dev.txt .venv/run.stamp
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements-dev.txt
	@touch $@
