"""A run, sweep or pipeline as a RayJob: it runs beside the data, and goes on when whoever sent it is gone. Pure, but for reading files.

The job carries everything: what is to run, the notebooks, the modules that lie beside them, and what of
this package a driver needs. `driver` is the other end.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jupyter_kuberay.carried import carried
from jupyter_kuberay.spec import ClusterSpec, JobSpec

REQUEST = "request.json"
_START = "import sys; from jupyter_kuberay.batch.driver import main; sys.exit(main())"
SAID = "jupyter-kuberay "  # begins the lines of a job's log that tell how far it is
# What of this package runs in the cluster; a test holds it to what these import.
ROOMS = (
    *("__init__", "attach", "cluster", "connection", "errors", "grammar", "inside", "loop", "modules", "observation", "packages"),
    *("preflight", "provision", "recording", "remote", "run"),
    *("backends/__init__", "backends/base", "backends/local/__init__", "backends/local/files", "backends/local/leases"),
    *("backends/local/processes", "batch/*", "lifecycle/*"),
)
NEEDED = ("papermill", "ipykernel", "nbformat")  # what the cluster must have besides Ray


@dataclass(frozen=True)
class Sent:
    """What a job is to run.

    Parameters
    ----------
    kind
        "run", "sweep" or "pipeline".
    notebook
        In the job's folder, or a URL; of a pipeline its file.
    called
        What that is called where it was sent from: a path or URL.
    output
        The notebook with its outputs; of a sweep or pipeline the folder. A path or URL that is the same in the cluster.
    points
        Of a sweep: number, varied parameters, parameters, output's name.
    """

    kind: str
    notebook: str
    called: str
    output: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    points: Sequence[Mapping[str, Any]] = ()
    id: str = ""
    job: str = ""
    cluster: str = ""
    user: str = ""
    spec: Mapping[str, Any] = field(default_factory=dict)
    image: str = ""
    group: str = ""
    at_once: int = 1
    cell_timeout: float | None = None
    force: bool | Sequence[str] = False
    resume: bool = False

    def json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, text: str) -> Sent:
        return cls(**json.loads(text))


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
    """The files of this package that go along."""
    root = Path(__file__).parents[1]
    paths = [path for room in ROOMS for path in root.glob(f"{room}.py")]
    paths += [path for path in (root / "batch").iterdir() if path.suffix in (".css", ".html")]
    return {f"{root.name}/{path.relative_to(root).as_posix()}": path.read_bytes() for path in sorted(set(paths))}


def modules_beside(folders: Iterable[Path]) -> dict[str, bytes]:
    """The Python modules that lie in notebooks' folders, which they may import."""
    return {path.name: path.read_bytes() for folder in folders for path in sorted(folder.glob("*.py"))}
