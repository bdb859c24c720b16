"""A run, sweep or pipeline as a RayJob: it runs beside the data, and goes on when whoever sent it is gone. Pure, but for reading files.

The job carries everything: what is to run, the notebooks, the modules that lie beside them, and what of
this package a driver needs. `driver` is the other end.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path

from jupyter_kuberay.batch.running import DISTRIBUTION
from jupyter_kuberay.batch.sent import REQUEST, Sent
from jupyter_kuberay.carried import carried
from jupyter_kuberay.spec import ClusterSpec, JobSpec

_START = "import sys; from jupyter_kuberay.batch.driver import main; sys.exit(main())"
# What of this package runs in the cluster; a test holds it to what these import.
ROOMS = (
    *(
        "__init__",
        "attach",
        "cluster",
        "connection",
        "errors",
        "grammar",
        "inside",
        "loop",
        "modules",
        "observation",
        "packages",
    ),
    *("preflight", "provision", "recording", "remote", "run", "waiting"),
    *("backends/__init__", "backends/base", "backends/local/__init__", "backends/local/files", "backends/local/leases"),
    # papermill loads the engine that it finds declared where this package is installed.
    *("backends/local/processes", "batch/*", "faces/__init__", "faces/engine", "lifecycle/*"),
)


def job(sent: Sent, notebooks: Mapping[str, bytes], cluster: str | ClusterSpec, *, environment: Mapping[str, str] | None = None) -> JobSpec:
    """The RayJob.

    Parameters
    ----------
    notebooks
        What is carried, by path in the job's folder.
    cluster
        The name of one that is there, or the spec of the job's own, which goes at its end.

    Raises
    ------
    InvalidSpec
        It is too large to be carried; what is at a URL need not be.
    """
    files = {**package(), **notebooks, REQUEST: json.dumps(sent.json()).encode()}
    entrypoint, variables = carried(files, ["python", "-c", _START], everywhere=True)
    variables = {**variables, **(environment or {}), "PYTHONUNBUFFERED": "1"}
    return JobSpec(name=sent.job, entrypoint=entrypoint, cluster=cluster, user=sent.user, runtime_env={"env_vars": variables})


def package() -> dict[str, bytes]:
    """The files of this package that go along, and what tells that it is installed, and in which version."""
    root = Path(__file__).parents[1]
    paths = [path for room in ROOMS for path in root.glob(f"{room}.py")]
    paths += [path for path in (root / "batch").iterdir() if path.suffix in (".css", ".html")]
    here = Path(__file__)  # what sends stays here
    files = {f"{root.name}/{path.relative_to(root).as_posix()}": path.read_bytes() for path in sorted(set(paths) - {here})}
    metadata = f"Metadata-Version: 2.1\nName: {DISTRIBUTION}\nVersion: {version(DISTRIBUTION)}\n"
    return {**files, f"{root.name}-{version(DISTRIBUTION)}.dist-info/METADATA": metadata.encode()}


def modules_beside(folders: Iterable[Path]) -> dict[str, bytes]:
    """The Python modules that lie in notebooks' folders, which they may import."""
    return {path.name: path.read_bytes() for folder in folders for path in sorted(folder.glob("*.py"))}
