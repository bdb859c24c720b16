"""What the output of a pipeline's step was made from, kept beside it: ``training.step.json`` to ``training.ipynb``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from jupyter_kuberay.batch.places import Place
from jupyter_kuberay.batch.records import RunRecord, RunState, read_record
from jupyter_kuberay.errors import KubeRayError, NotFound

SUFFIX = ".step.json"


@dataclass(frozen=True)
class Made:
    """A step that ran to its end."""

    run: str  # its record's id
    fingerprint: str


def keep_made(output: str, made: Made) -> None:
    """Write it beside ``output``. Raises `Unwritable`."""
    Place.of(output).beside(SUFFIX).write((json.dumps(asdict(made)) + "\n").encode())


def still_there(output: str, fingerprint: str) -> RunRecord | None:
    """The run that made ``output`` from what has this fingerprint, if it succeeded and both are there still."""
    try:
        found = json.loads(Place.of(output).beside(SUFFIX).read())
        made = Made(str(found["run"]), str(found["fingerprint"]))
        record = read_record(output) if made.fingerprint == fingerprint else None
        there = record is not None and record.id == made.run and record.state is RunState.SUCCEEDED and Place.of(output).exists()
        return record if there else None
    except (NotFound, ValueError, KeyError, TypeError):
        return None
    except KubeRayError:
        return None  # whoever cannot look runs it, and is told by that what is wrong
