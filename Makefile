# make demo, make test: each works from a fresh clone with Python 3.11 or later and does its own set-up in .venv.
PYTHON ?= python3
NEWER_PYTHON ?= python3.12
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --constraint constraints.txt \
  --custom-compile-command 'make constraints'
TRAINING := .venv-training
NIPYPE := .venv-nipype
DEMO_DIR ?= demo
WORKERS ?= 2

.DELETE_ON_ERROR:
.PHONY: help demo test test-training test-nipype lint format docs wheel constraints sbom clean

help:
	@echo "make demo         write a synthetic dataset, process it, compare the maps with the truth"
	@echo "make test         lint, then run all tests"
	@echo "make test-training  the tests that need torch, in an environment of their own"
	@echo "make test-nipype  the tests of workflows with the newest nipype, for NEWER_PYTHON (3.12 or later)"
	@echo "make lint         style, types, direction of imports"
	@echo "make format       rewrite the sources in the project's style"
	@echo "make docs         build the documentation site into site/; a broken link is an error"
	@echo "make wheel        build the package into dist/"
	@echo "make constraints  resolve the exact versions anew, and their hashes"
	@echo "make sbom         list all packages of .venv with versions and licences (CycloneDX)"
	@echo "make clean        remove what these commands made"
	@echo "PYTHON=python3.12 chooses the interpreter that .venv is made with"

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than Python 3.11: choose another one with PYTHON=" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,docs]'
	touch $@

$(TRAINING)/.ready: pyproject.toml constraints.txt
	test -x $(TRAINING)/bin/python || $(PYTHON) -m venv $(TRAINING)
	$(TRAINING)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,train]'
	touch $@

# nipype 1.12 is the first release after the constraints' one, and needs Python 3.12.
$(NIPYPE)/.ready: pyproject.toml constraints.txt
	test -x $(NIPYPE)/bin/python || $(NEWER_PYTHON) -m venv $(NIPYPE)
	grep -v '^nipype==' constraints.txt > $(NIPYPE)/constraints.txt
	$(NIPYPE)/bin/python -m pip install --quiet --disable-pip-version-check -c $(NIPYPE)/constraints.txt -e '.[test]' 'nipype>=1.12'
	touch $@

demo: $(READY)
	$(BIN)/python -m bids_qmri.demo $(DEMO_DIR)

# Kernels first: tests that run at once would each compile them.
test: lint
	$(BIN)/python -m bids_qmri.estimators.compiled.build
	$(BIN)/python -m pytest -n $(WORKERS)

test-training: $(TRAINING)/.ready
	$(TRAINING)/bin/python -m pytest -n $(WORKERS) tests/training tests/cli/test_train.py

test-nipype: $(NIPYPE)/.ready
	$(NIPYPE)/bin/python -m pytest -n $(WORKERS) tests/workflows tests/interfaces

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY)
	$(BIN)/mkdocs build --strict
	@echo "open site/index.html; to search as well: $(BIN)/python -m http.server -d site, and open http://localhost:8000"

wheel: $(READY)
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

constraints: $(READY)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra test --extra train --extra parametric-map --extra docs \
	  --no-annotate --custom-compile-command 'make constraints' --output-file constraints.txt pyproject.toml
	$(BIN)/uv pip compile $(LOCK) --extra dicom --output-file requirements/run.txt pyproject.toml
	printf 'hatchling\ncyclonedx-bom\npip\n' | $(BIN)/uv pip compile $(LOCK) --output-file requirements/build.txt -

sbom: $(READY)
	$(BIN)/python -m pip install --quiet cyclonedx-bom
	$(BIN)/cyclonedx-py environment --output-reproducible --output-format JSON --output-file sbom.cdx.json $(BIN)/python

clean:
	rm -rf $(VENV) $(TRAINING) $(NIPYPE) $(DEMO_DIR) work dist build site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
