"""Keeps Serve's applications as a RayService asks for them, and tells how they do in KubeRay's words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jupyter_kuberay.backends.dashboard import Dashboard
from jupyter_kuberay.backends.local.told import with_condition
from jupyter_kuberay.errors import Failed, KubeRayError

Json = dict[str, Any]

_DEPLOYING_S, _STEADY_S = 0.25, 2.0


class ServiceKeeper:
    """Puts one RayService's ``serveConfigV2`` into the Serve of its cluster.

    Level-triggered: call `reconcile` when the resource changed, and again after `again_in` seconds. A keeper that
    is made anew takes up where the last one was.

    Parameters
    ----------
    dashboard
        Of the service's cluster.
    serve_port
        Where Serve is to answer HTTP on this machine. It cannot change while Serve runs.
    """

    def __init__(self, dashboard: Dashboard, serve_port: int) -> None:
        self.dashboard, self.serve_port = dashboard, serve_port
        self.again_in = _DEPLOYING_S
        self._put = ""  # what Serve has taken, or refused
        self._refusal: tuple[str, str] | None = None  # reason and message

    async def reconcile(self, resource: Json, status: Json) -> Json:
        """Bring Serve to what ``resource`` asks for. Gives the status that is true now; ``status`` is the last one told.

        Nothing is raised for what a user or the world can cause: the condition Ready tells it.
        """
        self.again_in = _STEADY_S
        try:
            wanted = adapted(str(resource["spec"].get("serveConfigV2") or ""), self.serve_port)
            details = await self._bring(wanted)
        except ValueError as error:
            self._put, self._refusal = "", ("ValidationFailed", str(error))
            wanted, details = {"applications": []}, await self._details()
        except KubeRayError as error:
            self.again_in = _DEPLOYING_S
            return _ready({**status, "numServeEndpoints": 0}, resource, False, "ServeUnreachable", error.message)
        endpoints = int(await self.dashboard.serve_answers(self.serve_port)) if details.get("applications") else 0
        if self._refusal is None and not (runs(wanted, details) and endpoints):
            self.again_in = _DEPLOYING_S
        return service_status(resource, status, wanted, details, endpoints, self._refusal)

    async def _details(self) -> Json:
        try:
            return await self.dashboard.applications()
        except KubeRayError:
            return {}

    async def _bring(self, wanted: Json) -> Json:
        text = json.dumps(wanted, sort_keys=True)
        details = await self.dashboard.applications()
        lost = self._refusal is None and not _names(wanted) <= set(details.get("applications") or {})  # the head started anew
        if text == self._put and not lost:
            return details
        self._refusal = None
        try:
            await self.dashboard.put_applications(wanted)
        except Failed as error:
            self._refusal = ("ServeNotInstalled" if "not installed" in error.message else "ValidationFailed", error.message)
        self._put = text
        return await self._details()


def adapted(text: str, serve_port: int) -> Json:
    """``serveConfigV2`` as this machine can run it; ValueError with one sentence when it is malformed.

    Serve listens on loopback only, because its port asks for no token, and has one proxy,
    because several nodes are on this machine. The applications stay as they are.
    """
    import yaml

    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        at = getattr(error, "problem_mark", None)
        where = f" in line {at.line + 1}" if at else ""
        raise ValueError(f"serveConfigV2 is not YAML: {getattr(error, 'problem', None) or error}{where}.") from None
    if not isinstance(config, dict) or not isinstance(config.get("applications"), list):
        raise ValueError("serveConfigV2 has no list 'applications'.")
    for application in config["applications"]:
        if not isinstance(application, dict) or not application.get("import_path"):
            raise ValueError("An application in serveConfigV2 has no import_path.")
    applications = [{"name": "default", **application} for application in config["applications"]]
    options = {**(config.get("http_options") or {}), "host": "127.0.0.1", "port": serve_port}
    return {**config, "proxy_location": "HeadOnly", "http_options": options, "applications": applications}


def runs(wanted: Json, details: Json) -> bool:
    """Whether every application that is wanted runs as it was put."""
    found = details.get("applications") or {}
    return all((found.get(name) or {}).get("status") == "RUNNING" for name in _names(wanted))


def service_status(
    resource: Json, status: Json, wanted: Json, details: Json, endpoints: int, refusal: tuple[str, str] | None = None
) -> Json:
    """The status of a RayService whose Serve says ``details`` and answers at ``endpoints`` places.

    Pure but for the time of a condition that changes. ``refusal``: the reason and message for which the wanted
    configuration is not in; what was in before may still answer.
    """
    found = details.get("applications") or {}
    told = {name: _application_status(found[name]) for name in sorted(found)}
    active = {**(status.get("activeServiceStatus") or {}), "applicationStatuses": told}
    new = {**status, "activeServiceStatus": active, "numServeEndpoints": endpoints, "serviceStatus": "Running" if endpoints else ""}
    if refusal is None and endpoints and runs(wanted, details):
        new["observedGeneration"] = resource["metadata"].get("generation", 1)
    if refusal is not None:
        # KubeRay, too, says that a service which still answers is not ready when it refuses its specification.
        return _ready(new, resource, False, *refusal)
    if endpoints:
        return _ready(new, resource, True, "NonZeroServeEndpoints", "Number of serve endpoints is greater than 0")
    return _ready(new, resource, False, "Initializing", _why_not(found))


def _application_status(application: Json) -> Json:
    deployments = application.get("deployments") or {}
    return {
        "status": application.get("status", ""),
        "message": application.get("message") or "",
        "serveDeploymentStatuses": {
            name: {"status": deployment.get("status", ""), "message": deployment.get("message") or ""}
            for name, deployment in sorted(deployments.items())
        },
    }


def _why_not(found: Mapping[str, Json]) -> str:
    for name, application in sorted(found.items()):
        if application.get("status") in ("DEPLOY_FAILED", "UNHEALTHY"):
            return f"Application {name} is {application['status']}: {application.get('message') or ''}".strip()
    return "Serve is starting the applications"


def _names(wanted: Json) -> set[str]:
    return {str(application["name"]) for application in wanted["applications"]}


def _ready(status: Json, resource: Json, value: bool, reason: str, message: str) -> Json:
    return with_condition(status, resource["metadata"].get("generation", 1), "Ready", value, reason, message[-2000:])
