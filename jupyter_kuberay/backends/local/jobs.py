"""Runs a RayJob's command on its cluster, and tells how it does in KubeRay's words."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from jupyter_kuberay.backends.dashboard import Dashboard
from jupyter_kuberay.backends.local.stopped import RAY_ENDED, Stopped
from jupyter_kuberay.errors import Failed, Forbidden, NotFound, Unreachable

Json = dict[str, Any]

# Of jobDeploymentStatus
INITIALIZING, RUNNING, COMPLETE, FAILED, RETRYING, SUSPENDED, INVALID, WAITING = (
    "Initializing",
    "Running",
    "Complete",
    "Failed",
    "Retrying",
    "Suspended",
    "ValidationFailed",
    "Waiting",
)
ENDED = frozenset((COMPLETE, FAILED, INVALID))  # nothing more happens
_SOON_S, _RUNNING_S, _LATER_S = 0.1, 0.3, 2.0


class JobKeeper:
    """Submits one RayJob to the Ray of its cluster, follows it, tries it again, and stops it.

    Level-triggered: call `reconcile` when the resource changed, and again after `again_in` seconds. Whatever it does is in
    the status before it is done, so that a keeper made anew submits nothing twice.
    """

    def __init__(self, dashboard: Dashboard, stopped: Stopped) -> None:
        self.dashboard, self._stopped = dashboard, stopped
        self.again_in = _SOON_S

    async def reconcile(self, resource: Json, status: Json) -> Json:
        """Take the job one step on, and give the status that is true now; ``status`` is the last one told.

        Nothing is raised for what a user or the world can cause. While the dashboard does not answer, the status stays
        until the job's deadline, which holds in any case.
        """
        self.again_in = _SOON_S
        try:
            told = await self._step(resource, status)
        except (Unreachable, Forbidden):
            self.again_in = _RUNNING_S
            counts = status.get("jobDeploymentStatus") in (INITIALIZING, RUNNING)
            return past_deadline(resource["spec"], status) if counts and overdue(resource["spec"], status, datetime.now(UTC)) else status
        if told.get("jobDeploymentStatus") in (*ENDED, SUSPENDED, WAITING):
            self.again_in = _LATER_S
        elif told.get("jobDeploymentStatus") == RUNNING:
            self.again_in = _RUNNING_S
        return told

    async def stop(self, status: Json) -> None:
        """End the Ray job, if one runs: for a RayJob that is deleted. Raises nothing, and does not wait for its end."""
        if status.get("jobId") and status.get("jobDeploymentStatus") not in ENDED:
            await self._stopped.stop(self.dashboard, str(status["jobId"]))

    async def _step(self, resource: Json, status: Json) -> Json:
        spec, phase = resource["spec"], status.get("jobDeploymentStatus") or ""
        generation = {"observedGeneration": resource["metadata"].get("generation", 1)}
        if phase in ENDED:
            return status
        if (problem := problem_of(spec)) is not None:
            return {**status, **generation, "jobDeploymentStatus": INVALID, "reason": INVALID, "message": problem}
        if spec.get("suspend"):
            await self.stop(status)
            return {**_fresh(status), **generation, "jobDeploymentStatus": SUSPENDED}
        if phase in ("", SUSPENDED, RETRYING):
            if spec.get("submissionMode") == "InteractiveMode" and not spec.get("jobId"):
                return {**status, **generation, "jobDeploymentStatus": WAITING}
            return {**begun(resource, status), **generation}
        if phase == WAITING:
            return {**begun(resource, status), **generation} if spec.get("jobId") else status
        info = await self._info(spec, str(status["jobId"]))
        if overdue(spec, status, datetime.now(UTC)) and info.get("status") not in RAY_ENDED:
            await self.stop(status)
            return past_deadline(spec, status)
        if info.get("status") == "STOPPED":  # by whomever
            await self.stop(status)
        return progressed(spec, status, info)

    async def _info(self, spec: Json, job_id: str) -> Json:
        try:
            return await self.dashboard.job(job_id)
        except NotFound:
            pass
        if spec.get("submissionMode") == "InteractiveMode":
            return {}
        try:
            await self.dashboard.submit_job(str(spec["entrypoint"]), job_id, **submission(spec))
            return await self.dashboard.job(job_id)
        except Failed as error:
            if "already exists" in error.message:
                return {}
            return {"status": "FAILED", "message": error.message}
        except NotFound:
            return {}


def problem_of(spec: Mapping[str, Any]) -> str | None:
    """Why KubeRay would refuse the job, in a sentence; None when it would not."""
    import yaml

    if not spec.get("entrypoint") and spec.get("submissionMode") != "InteractiveMode":
        return "The RayJob spec is invalid: entrypoint must be set"
    if spec.get("clusterSelector") and spec.get("submissionMode") == "SidecarMode":
        return "The RayJob spec is invalid: SidecarMode doesn't support clusterSelector"
    if spec.get("ttlSecondsAfterFinished") and not spec.get("shutdownAfterJobFinishes"):
        return "The RayJob spec is invalid: a RayJob with shutdownAfterJobFinishes set to false cannot have TTLSecondsAfterFinished"
    try:
        if not isinstance(yaml.safe_load(spec.get("runtimeEnvYAML") or "{}"), dict):
            return "The RayJob spec is invalid: runtimeEnvYAML is no mapping"
        json.loads(spec.get("entrypointResources") or "{}")
    except (yaml.YAMLError, ValueError) as error:
        return f"The RayJob spec is invalid: {' '.join(str(error).split())}"
    return None


def submission(spec: Mapping[str, Any]) -> Json:
    """What goes to Ray with the entrypoint."""
    import yaml

    more: Json = {}
    if spec.get("runtimeEnvYAML"):
        more["runtime_env"] = yaml.safe_load(spec["runtimeEnvYAML"])
    if spec.get("metadata"):
        more["metadata"] = {str(key): str(value) for key, value in spec["metadata"].items()}
    if spec.get("entrypointNumCpus"):
        more["entrypoint_num_cpus"] = float(spec["entrypointNumCpus"])
    if spec.get("entrypointNumGpus"):
        more["entrypoint_num_gpus"] = float(spec["entrypointNumGpus"])
    if spec.get("entrypointResources"):
        more["entrypoint_resources"] = json.loads(spec["entrypointResources"])
    return more


def begun(resource: Json, status: Json) -> Json:
    """The status before a try: Ray's job has its name, so that it is submitted only once."""
    name, spec = resource["metadata"]["name"], resource["spec"]
    first = not status.get("failed") and spec.get("jobId")
    job_id = spec["jobId"] if first else f"{name}-{os.urandom(3).hex()[:5]}"
    started = status.get("startTime") or _now()
    return {**status, "jobDeploymentStatus": INITIALIZING, "jobId": job_id, "jobStatus": "", "startTime": started}


def progressed(spec: Mapping[str, Any], status: Json, info: Json) -> Json:
    """The status that follows from Ray's own word on the job. The first error stays, whatever later tries say."""
    ray = str(info.get("status") or "")
    if ray not in RAY_ENDED:
        said = {"jobStatus": ray, "jobDeploymentStatus": RUNNING} if ray else {}
        kept = status.get("message") if status.get("failed") else str(info.get("message") or "")
        return {**status, **said, "message": kept or ""}
    if ray == "SUCCEEDED":
        message = str(info.get("message") or "")
        done = {"jobStatus": ray, "jobDeploymentStatus": COMPLETE, "succeeded": 1, "message": message, "endTime": _end(info)}
        return {**status, **done, "failed": int(status.get("failed") or 0)}
    failed = int(status.get("failed") or 0) + 1
    message = str((status.get("message") if failed > 1 else "") or info.get("message") or "")
    again = ray == "FAILED" and failed <= int(spec.get("backoffLimit") or 0)
    told = {**status, "jobStatus": ray, "failed": failed, "message": message}
    if again:
        return {**told, "jobDeploymentStatus": RETRYING, "reason": "AppFailed"}
    if ray == "STOPPED":  # by somebody, which KubeRay counts as complete
        return {**told, "jobDeploymentStatus": COMPLETE, "endTime": _end(info)}
    return {**told, "jobDeploymentStatus": FAILED, "reason": "AppFailed", "endTime": _end(info)}


def overdue(spec: Mapping[str, Any], status: Json, at: datetime) -> bool:
    """Whether the job has gone on for longer than ``activeDeadlineSeconds``, all its tries together."""
    return seconds_left(spec, status, at) < 0


def seconds_left(spec: Mapping[str, Any], status: Json, at: datetime) -> float:
    """Until the job's deadline, which counts from when it was first looked at, whether or not its cluster is there."""
    limit = spec.get("activeDeadlineSeconds")
    if not limit or not status.get("startTime"):
        return math.inf
    return float(limit) - (at - datetime.fromisoformat(status["startTime"])).total_seconds()


def awaited(spec: Mapping[str, Any], status: Json) -> Json:
    """The status of a job that was not submitted yet, because its cluster is not ready or suspended."""
    if spec.get("suspend"):
        return {**_fresh(status), "jobDeploymentStatus": SUSPENDED}
    return {**status, "jobDeploymentStatus": INITIALIZING, "startTime": status.get("startTime") or _now()}


def past_deadline(spec: Mapping[str, Any], status: Json) -> Json:
    first = f" The first error was: {status['message']}" if status.get("failed") and status.get("message") else ""
    limit, since = spec["activeDeadlineSeconds"], status["startTime"]
    message = f"The RayJob has passed the activeDeadlineSeconds ({limit}), counted from {since}.{first}"
    told = {"jobStatus": "STOPPED", "jobDeploymentStatus": FAILED, "reason": "DeadlineExceeded", "message": message, "endTime": _now()}
    return {**status, **told, "failed": int(status.get("failed") or 0) + 1}


def _fresh(status: Json) -> Json:
    """What is left of a status when the job is suspended: a later start is a first start."""
    return {key: status[key] for key in ("rayClusterName", "dashboardURL", "rayClusterStatus") if key in status}


def _end(info: Json) -> str:
    at = info.get("end_time")
    return datetime.fromtimestamp(float(at) / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if at else _now()


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
