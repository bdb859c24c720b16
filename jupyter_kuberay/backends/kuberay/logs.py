"""Lines of the logs of pods, and of what jobs printed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing

from jupyter_kuberay.backends.base import DASHBOARD_PORT
from jupyter_kuberay.backends.dashboard import Dashboard
from jupyter_kuberay.backends.kuberay.api import Api
from jupyter_kuberay.backends.kuberay.paths import PODS
from jupyter_kuberay.backends.kuberay.refusals import Asked
from jupyter_kuberay.errors import Failed, InvalidSpec, KubeRayError, NotFound, Unreachable
from jupyter_kuberay.observation import Endpoint, Json, Observation

_AGAIN_S = 0.5  # while somebody follows a job
_JOB_OVER = ("Complete", "Failed", "ValidationFailed")

Reach = Callable[[str, int], AbstractAsyncContextManager[Endpoint]]


def log_pod(seen: Observation, node: str) -> str:
    """The pod whose log is meant: ``node``, or the head. `NotFound` with what its events tell when it is gone."""
    names = [each.name for each in seen.nodes]
    wanted = node or next((each.name for each in seen.nodes if each.group == "head"), "")
    if wanted in names:
        return wanted
    told = [event for event in seen.events if event.about == wanted or (wanted and wanted in event.message)]
    last = f" The last that is known of it: {told[0].message}" if told else ""
    raise NotFound(
        f"{seen.name!r} has no node {wanted!r}.{last}" if wanted else f"{seen.name!r} has no head now.",
        f"Its nodes are: {', '.join(names)}." if names else "Nothing of it runs now; its events tell more (status).",
    )


async def pod_lines(api: Api, pod: str, *, follow: bool, tail: int) -> AsyncGenerator[str, None]:
    """What a pod's Ray container wrote; of one that crashed, what it wrote before it was started again."""
    path = PODS.path(await api.namespace(), pod, "log")
    asked = Asked(what=f"log of pod {pod!r}", place="pods")
    container = await _container(api, pod)
    query = {"container": container, "tailLines": str(tail)}
    if follow:
        query["follow"] = "true"
    try:
        async with aclosing(api.lines(path, asked=asked, query=query, silence=None)) as lines:
            async for line in lines:
                yield line.decode(errors="replace")
    except InvalidSpec as error:  # "container is waiting to start: …"
        raise Unreachable(f"Pod {pod!r} has no log yet: {error.message}", "See its status.") from error


async def _container(api: Api, pod: str) -> str:
    found = await api.request("GET", PODS.path(await api.namespace(), pod), asked=Asked(what=f"pod {pod!r}", place="pods"))
    return str(found["spec"]["containers"][0]["name"])


async def job_lines(look: Callable[[], Awaitable[Observation]], reach: Reach, *, follow: bool, tail: int) -> AsyncGenerator[str, None]:
    """What a job printed, asked of its cluster's dashboard; of a job whose cluster is gone, what its status kept."""
    told = 0
    first = True
    while True:
        seen = await look()
        status: Json = seen.status
        over = status.get("jobDeploymentStatus") in _JOB_OVER or status.get("jobStatus") in ("SUCCEEDED", "FAILED", "STOPPED")
        text = await _printed(reach, status, last=over or not follow)
        new = text[told:]
        if not over and follow:  # a line that is not whole yet comes later
            new = new[: new.rfind("\n") + 1]
        told += len(new)
        lines = new.split("\n")
        lines = lines[:-1] if lines[-1] == "" else lines
        for line in lines[max(0, len(lines) - tail) :] if first else lines:
            yield line
        first = first and not text
        if over or not follow:
            return
        await asyncio.sleep(_AGAIN_S)


async def _printed(reach: Reach, status: Json, *, last: bool) -> str:
    cluster, job = str(status.get("rayClusterName") or ""), str(status.get("jobId") or "")
    if not cluster or not job:
        return ""
    try:
        async with reach(cluster, DASHBOARD_PORT) as at:
            return await Dashboard(at.host, at.port, at.token).job_logs(job)
    except (NotFound, Unreachable, Failed) as error:
        if last and status.get("message"):
            return str(status["message"])
        if last and not isinstance(error, NotFound):
            raise
        return ""
    except KubeRayError:
        raise
