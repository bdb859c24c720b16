"""Notebooks run from beginning to end, with papermill."""

from __future__ import annotations

from jupyter_kuberay.batch.notebook import CLUSTER_VARIABLE, Outcome, Progress, Step, check_notebook, parameters_of, run_notebook

__all__ = ["CLUSTER_VARIABLE", "Outcome", "Progress", "Step", "check_notebook", "parameters_of", "run_notebook"]
