# make demo   set-up, then a 2-D VAE on MNIST, its report and explorer        make test   set-up, then the whole suite
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO := runs/demo

.PHONY: install demo test lint types docs clean
install: $(VENV)/.core

demo: $(VENV)/.core
	$(BIN)/logpx train vae mnist --latent 2 --hidden 400,200 --epochs 15 --learning-rate 2e-3 --schedule cosine --out $(DEMO) --force
	$(BIN)/logpx explore $(DEMO) --no-open
	@echo "Open $(DEMO)/report.html and $(DEMO)/explorer.html in a browser."

test: $(VENV)/.dev
	$(BIN)/python -m pytest -q -n 2

lint: $(VENV)/.dev
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

docs: $(VENV)/.docs
	$(BIN)/sphinx-build -W -q -b html docs docs/_build/html
	@echo "Open docs/_build/html/index.html in a browser."

$(VENV)/.core: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "logpx needs Python 3.11 or newer: make PYTHON=python3.12 install")'
	@$(PYTHON) -m venv $(VENV) || { echo "No venv: on Debian or Ubuntu first install the package python3-venv."; exit 1; }
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[files,export]'
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	@touch $@

$(VENV)/.docs: $(VENV)/.core
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[docs]'
	@touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache docs/_build
