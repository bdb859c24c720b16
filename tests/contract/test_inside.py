"""A program that runs in a cluster has that cluster in its hands as a notebook has, without a connection from outside."""

from __future__ import annotations

import asyncio
import json
import shlex
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import jupyter_kuberay
from jupyter_kuberay.backends.base import Backend
from jupyter_kuberay.observation import Kind

from .conftest import NAME, MakeBackend
from .resources import job, until

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(400)]

# As it would stand in a notebook; beside that it tells what it saw.
PROGRAM = """
    import json, sys, urllib.request
    import jupyter_kuberay as jk

    def where():
        print("printed there")
        import ray
        return ray.get_runtime_context().get_node_id()

    def fails():
        raise ValueError("of its own")

    cluster = jk.connect()
    told = {"name": cluster.name, "sum": cluster.run(sum, [1, 2, 3]), "node": bool(cluster.run(where))}
    try:
        cluster.run(fails)
    except ValueError as error:
        told["error"] = str(error)
    import ray
    told["task"] = ray.get(ray.remote(lambda: 6 * 7).remote())
    status, usage = cluster.status(), cluster.usage()
    told |= {"phase": status.phase, "ready": sum(status.ready.values()), "cpus": usage.cpus}
    told["shown"] = repr(cluster)
    told["attached"] = cluster.attach() is jk.attached() and jk.attached().alive
    dashboard = jk.attached().dashboard_endpoint()
    asked = urllib.request.Request(f"{jk.attached().dashboard}/nodes?view=summary", headers={"Authorization": f"Bearer {dashboard.token}"})
    told["dashboard"] = json.load(urllib.request.urlopen(asked, timeout=30))["result"]
    for name, ask in {"down": cluster.down, "other": lambda: jk.connect("another")}.items():
        try:
            ask()
        except jk.KubeRayError as error:
            told[name] = str(error)
    jk.detach()
    told["detached"] = jk.attached() is None
    told["loaded"] = [name for name in sys.modules if name in ("kubernetes", "jupyter_kuberay.client")]
    print("TOLD", json.dumps(told))
"""


def packed(make_backend: MakeBackend, cluster: str) -> dict[str, Any]:
    """A runtime environment that has this package, where the cluster has not."""
    if NAME == "local":
        return {}
    from jupyter_kuberay.client import Client
    from jupyter_kuberay.cluster import Cluster
    from jupyter_kuberay.config import KubeRay
    from jupyter_kuberay.modules import archive
    from jupyter_kuberay.provision import _kept

    with Cluster(cluster, Client(make_backend(), KubeRay(user="tester"))).attach():
        return {"py_modules": [_kept(*archive({"jupyter_kuberay": Path(jupyter_kuberay.__file__).parent}))]}


async def test_code_of_a_notebook_runs_unchanged_in_the_cluster(
    backend: Backend, make_backend: MakeBackend, running: str, fresh: Callable[[str], str]
):
    environment = await asyncio.to_thread(packed, make_backend, running)
    # Nothing that would lead elsewhere is needed.
    environment["env_vars"] = {"JUPYTER_KUBERAY_INSIDE": running, "JUPYTER_KUBERAY_DATA_DIR": "/nowhere", "KUBECONFIG": "/nowhere"}
    entrypoint = f"python -c {shlex.quote(textwrap.dedent(PROGRAM))}"
    await backend.create(job(name := fresh("inside"), entrypoint, running, runtimeEnvYAML=yaml.safe_dump(environment)))
    over = await until(backend, Kind.JOB, name, lambda seen: seen.status.get("jobDeploymentStatus") in ("Complete", "Failed"))
    lines = [line async for line in backend.logs(name, kind=Kind.JOB)]
    assert over.status["jobStatus"] == "SUCCEEDED", "\n".join(lines)
    assert "printed there" in lines
    told = json.loads(next(line for line in lines if line.startswith("TOLD "))[5:])
    assert told.pop("cpus") >= 1
    assert told == {
        "name": running,
        "sum": 6,
        "node": True,
        "error": "of its own",
        "task": 42,
        "phase": "Ready",
        "ready": 1,
        "shown": f"<Cluster {running!r}: Ready, 1 of 1 {'workers' if NAME == 'local' else 'small'}>",
        "attached": True,
        "dashboard": True,
        "down": f"Cluster {running!r} cannot be taken down by what runs in it. Ask from outside: jupyter kuberay.",
        "other": f"This runs in cluster {running!r} and reaches no other. Call connect() without 'another', or run it outside.",
        "detached": True,
        "loaded": [],
    }
