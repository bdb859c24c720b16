"""What is sent to run in the cluster, as both ends know it: `incluster` sends, `driver` runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

REQUEST = "request.json"
SETTINGS = "jupyter-config"  # the folder with what is set where it was sent from
SAID = "jupyter-kuberay "  # begins the lines of a job's log that tell how far it is
_NEEDED = ("papermill", "ipykernel", "nbformat")


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

    @property
    def needs(self) -> tuple[str, ...]:
        """What the cluster must have besides Ray."""
        return (*_NEEDED, "nbconvert") if self.kind == "pipeline" else _NEEDED  # its report

    def json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, text: str) -> Sent:
        return cls(**json.loads(text))
