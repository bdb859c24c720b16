"""Notebooks run from beginning to end, with papermill."""

from __future__ import annotations

from jupyter_kuberay.batch.notebook import CLUSTER_VARIABLE, Step, check_notebook, parameters_of
from jupyter_kuberay.batch.places import Place
from jupyter_kuberay.batch.records import RunRecord, RunState, read_record, watch_records
from jupyter_kuberay.batch.running import Run, RunRequest, run_now

__all__ = [
    "CLUSTER_VARIABLE",
    "Place",
    "Run",
    "RunRecord",
    "RunRequest",
    "RunState",
    "Step",
    "check_notebook",
    "parameters_of",
    "read_record",
    "run_now",
    "watch_records",
]
