"""papermill's engine ``kuberay``: ``papermill --engine kuberay in.ipynb out.ipynb -p lr 1e-4`` runs a notebook on a Ray cluster.

papermill lets an engine add no options. So which cluster it is stands in the notebook's
metadata, as in ``{"kuberay": {"profile": "gpu", "workers": 2}}``, or in the environment, which
wins: JUPYTER_KUBERAY_CLUSTER names one that is there, JUPYTER_KUBERAY_PROFILE what to bring one up
from. The kernel is attached before the first cell. A cluster that was brought up goes at the end, also after kill -9.
"""

from __future__ import annotations

from typing import Any

from papermill.engines import Engine, NotebookExecutionManager


class KubeRayEngine(Engine):  # type: ignore[misc]
    """Runs papermill's notebooks on a Ray cluster."""

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: NotebookExecutionManager,
        kernel_name: str,
        log_output: bool = False,
        stdout_file: Any = None,
        stderr_file: Any = None,
        start_timeout: float = 60,
        execution_timeout: float | None = None,
        **_: Any,
    ) -> None:
        """As papermill's own engine does, on a cluster.

        Raises
        ------
        jupyter_kuberay.faces.papered.Told
            There is no such cluster or profile, or it does not come up.
        """
        # papermill loads all engines whenever it is imported.
        from jupyter_kuberay.faces.papered import execute

        execute(
            nb_man,
            kernel_name,
            timeout=execution_timeout,
            startup_timeout=start_timeout,
            log_output=log_output,
            stdout_file=stdout_file,
            stderr_file=stderr_file,
        )
