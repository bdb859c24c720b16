"""papermill's engine: papermill loads it, wherever papermill is loaded from."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("first", ["jupyter_kuberay.batch.execution", "papermill"])
def test_papermill_and_what_runs_notebooks_load_each_other(first: str) -> None:
    code = f"import {first}; from papermill.engines import papermill_engines; print(papermill_engines.get_engine('kuberay').__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "KubeRayEngine", done.stderr
