# What a newcomer needs: make demo, make test, make lab. Everything else is for whoever works on it.
.DEFAULT_GOAL := help
.PHONY: help environment setup panel demo lab test test-fast test-slow test-panel test-ui pictures search docs lint types layers checks format coverage bench build clean \
  testbed testbed-down test-kubernetes test-kubernetes-all demo-kubernetes pipeline-kubernetes bench-kubernetes bench-upgrade-kubernetes

# Where this is set, every process of Ray would compile torch and pandas anew, which takes longer than what it does.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
# Three lanes: two of tests that start Ray, one after the other in each, and everything else.
PYTEST := $(BIN)/python -m pytest -n 3 --dist loadgroup

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

environment:  ## .venv with all Python packages; only works again when pyproject.toml or constraints.txt changed
	@tools/setup.sh

setup: environment panel  ## the same, and JupyterLab's half

panel: environment  ## JupyterLab's half, built again when it changed, and shown by .venv's JupyterLab
	@$(BIN)/python tools/bundle.py show

demo: environment  ## from nothing to a served model on this machine, then clean up
	@$(BIN)/jupyter kuberay demo $(DEMO)

lab: setup  ## JupyterLab with it
	$(BIN)/jupyter lab --notebook-dir=notebooks $(LAB)

test: setup  ## lint, types, layers, and all tests that need neither Kubernetes nor a browser
	@$(MAKE) --no-print-directory --jobs=2 --output-sync checks test-panel
	$(PYTEST) --ignore=tests/ui -m "not slow" $(TESTS)

test-slow: setup  ## what needs minutes beside it: a trial of two workers
	$(BIN)/python -m pytest tests/local -m slow $(TESTS)

coverage: setup  ## what the tests that start nothing reach; measuring doubles their time, so it is no part of `make test`
	$(BIN)/python -m pytest tests/unit -n 2 --cov --cov-report=term $(TESTS)

test-fast: setup  ## only the tests that start nothing (seconds)
	$(BIN)/python -m pytest tests/unit $(TESTS)

search: setup  ## new examples for the tests that make their own; a failure is one more example to keep
	HYPOTHESIS_PROFILE=search $(BIN)/python -m pytest tests/unit -m hypothesis $(TESTS)

ON_KUBERNETES = JUPYTER_KUBERAY_TEST_BACKEND=kuberay $(BIN)/python -m tests.testbed run --image light $(TESTBED) -- \
  $(BIN)/python -m pytest tests/contract tests/kubernetes

test-kubernetes: setup  ## contract and faults on a Kubernetes: the testbed, or yours with JUPYTER_KUBERAY_TEST_CLUSTER=current
	-@tools/browser.sh
	@$(ON_KUBERNETES) -m "not slow" $(TESTS)

test-kubernetes-all: setup  ## the same, with the faults that take minutes
	-@tools/browser.sh
	@$(ON_KUBERNETES) $(TESTS)

demo-kubernetes: environment  ## the demo against Kubernetes, on the testbed, with an image that has torch (6 GB, made once)
	@$(BIN)/python -m tests.testbed run --image heavy $(TESTBED) -- $(BIN)/python -m tests.kubernetes.shared jupyter-kuberay demo --run-dir {folder}/run $(DEMO)

pipeline-kubernetes: environment  ## the lifecycle's notebooks in the cluster, where 07_serving publishes; then the service is looked at and ended
	@$(BIN)/python -m tests.testbed run --image heavy $(TESTBED) -- $(BIN)/python -m tests.kubernetes.shared sh -ec ' \
	  jupyter-kuberay pipeline {folder}/notebooks --in-cluster --memory 8Gi -p profile small -p run_dir {folder}/run -p registry sqlite:///{folder}/run/registry.db $(PIPELINE); \
	  jupyter-kuberay services summarizer; jupyter-kuberay revisions summarizer; jupyter-kuberay unpublish --yes summarizer'

bench-upgrade-kubernetes: environment  ## upgrades and ways back of a service under load, on the testbed, with that image
	@$(BIN)/python -m tests.testbed run --image heavy $(TESTBED) -- $(BIN)/python -m tests.kubernetes.shared \
	  python benchmarks/upgrade_under_load.py {folder}

bench-kubernetes: environment  ## the first task, and many clusters, on the testbed beside kubectl and codeflare-sdk
	@missed=0; for benchmark in benchmarks/kubernetes/[a-z]*.py; do \
	  $(BIN)/python -m tests.testbed run --image light $(TESTBED) -- $(BIN)/python "$$benchmark" || missed=1; done; exit $$missed

testbed: environment  ## a Kubernetes with KubeRay on this machine, which stays up (Linux, root, Go; TESTBED="--kuberay 1.5.1")
	@$(BIN)/python -m tests.testbed up --image light $(TESTBED)

testbed-down: environment  ## end it
	@$(BIN)/python -m tests.testbed down

test-panel: setup  ## the types, style and model of JupyterLab's half
	$(BIN)/python tools/bundle.py run check test

test-ui: setup  ## JupyterLab in a real browser, which is installed where it is missing
	@tools/browser.sh
	$(BIN)/python -m pytest tests/ui -n 2 --dist loadgroup $(TESTS)

pictures: setup  ## the README's pictures of the panel, made anew by the test of the whole way
	@tools/browser.sh
	JUPYTER_KUBERAY_TEST_PICTURES=$(CURDIR)/docs/pictures $(BIN)/python -m pytest tests/ui/test_scenario.py

docs: environment  ## the documentation into build/docs; a warning ends it
	@$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet -b html docs build/docs
	@echo build/docs/index.html

checks: lint types layers

lint: environment  ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: environment  ## mypy --strict
	$(BIN)/mypy

layers: environment  ## who may import whom
	$(BIN)/lint-imports --no-logo

format: environment  ## ruff, in place
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup  ## each a ratio against the bare way, measured in the same run
	@missed=0; for benchmark in benchmarks/[a-z]*.py; do $(BIN)/python "$$benchmark" || missed=1; done; exit $$missed

build: setup  ## wheel and source distribution into dist/
	@PYTHON=$(CURDIR)/$(BIN)/python tools/uv build --quiet --python $(BIN)/python --build-constraint constraints.txt
	@ls dist

clean:  ## everything that can be made again
	rm -rf jupyter_kuberay/labextension labextension/lib labextension/node_modules
	rm -rf .venv .cache .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist htmlcov
