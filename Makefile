# What a newcomer needs: make demo, make test, make lab. Everything else is for whoever works on it.
.DEFAULT_GOAL := help
.PHONY: help setup demo lab test test-fast search lint types layers checks format coverage bench build clean \
  panel test-panel testbed testbed-down test-kubernetes test-kubernetes-all demo-kubernetes bench-kubernetes

# Where this is set, every process of Ray would compile torch and pandas anew, which takes longer than what it does.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
# Three lanes: two of tests that start Ray, one after the other in each, and everything else.
PYTEST := $(BIN)/python -m pytest -n 3 --dist loadgroup

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

setup:  ## .venv with everything; only works again when pyproject.toml or constraints.txt changed
	@tools/setup.sh

demo: setup  ## from nothing to a served model on this machine, then clean up
	@$(BIN)/jupyter kuberay demo $(DEMO)

lab: setup  ## JupyterLab with it
	$(BIN)/jupyter lab --notebook-dir=notebooks $(LAB)

test: checks  ## lint, types, layers, and all tests that need no Kubernetes
	$(PYTEST) $(TESTS)

coverage: setup  ## what the tests that start nothing reach; measuring doubles their time, so it is no part of `make test`
	$(BIN)/python -m pytest tests/unit -n 2 --cov --cov-report=term $(TESTS)

test-fast: setup  ## only the tests that start nothing (seconds)
	$(BIN)/python -m pytest tests/unit $(TESTS)

search: setup  ## new examples for the tests that make their own; a failure is one more example to keep
	HYPOTHESIS_PROFILE=search $(BIN)/python -m pytest tests/unit -m hypothesis $(TESTS)

ON_KUBERNETES = JUPYTER_KUBERAY_TEST_BACKEND=kuberay $(BIN)/python -m tests.testbed run --image light $(TESTBED) -- \
  $(BIN)/python -m pytest tests/contract tests/kubernetes

test-kubernetes: setup  ## contract and faults on a Kubernetes: the testbed, or yours with JUPYTER_KUBERAY_TEST_CLUSTER=current
	@$(ON_KUBERNETES) -m "not slow" $(TESTS)

test-kubernetes-all: setup  ## the same, with the faults that take minutes
	@$(ON_KUBERNETES) $(TESTS)

demo-kubernetes: setup  ## the demo against Kubernetes, on the testbed, with an image that has torch (6 GB, made once)
	@$(BIN)/python -m tests.testbed run --image heavy $(TESTBED) -- $(BIN)/python -m tests.kubernetes.demo $(DEMO)

bench-kubernetes: setup  ## the first task, and many clusters, on the testbed beside kubectl and codeflare-sdk
	@missed=0; for benchmark in benchmarks/kubernetes/[a-z]*.py; do \
	  $(BIN)/python -m tests.testbed run --image light $(TESTBED) -- $(BIN)/python "$$benchmark" || missed=1; done; exit $$missed

testbed: setup  ## a Kubernetes with KubeRay on this machine, which stays up (Linux, root, Go; TESTBED="--kuberay 1.5.1")
	@$(BIN)/python -m tests.testbed up --image light $(TESTBED)

testbed-down: setup  ## end it
	@$(BIN)/python -m tests.testbed down

panel: setup  ## JupyterLab's side panel, in work and in no wheel yet: build it and show it in `make lab` (needs Node)
	@tools/bundle.sh

test-panel: panel  ## its types, style and model
	cd labextension && npm run --silent check && npm test --silent

checks: lint types layers

lint: setup  ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup  ## mypy --strict
	$(BIN)/mypy

layers: setup  ## who may import whom
	$(BIN)/lint-imports --no-logo

format: setup  ## ruff, in place
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup  ## each a ratio against the bare way, measured in the same run
	@missed=0; for benchmark in benchmarks/[a-z]*.py; do $(BIN)/python "$$benchmark" || missed=1; done; exit $$missed

build: setup  ## wheel and source distribution into dist/
	@PYTHON=$(CURDIR)/$(BIN)/python tools/uv build --quiet --python $(BIN)/python
	@ls dist

clean:  ## everything that can be made again
	rm -rf .venv .cache .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist htmlcov
