"""What Ray's dashboard can be asked over HTTP: its version, Serve's applications, and jobs.

Standard library alone: the supervisor, which lives as long as a cluster does, imports it.
"""

from __future__ import annotations

import asyncio
import http.client
import json
from typing import Any
from urllib.parse import quote

from jupyter_kuberay.errors import Failed, Forbidden, NotFound, Unreachable

Json = dict[str, Any]

# The first configuration also starts Serve's controller and proxy, on a machine that may be busy.
_CONFIGURE_S = 120.0


class Dashboard:
    """The dashboard of one head.

    Every method raises `Unreachable` when nothing answers, `Forbidden` for a wrong token,
    `NotFound`, and `Failed` with the dashboard's own words for any other refusal.

    Parameters
    ----------
    host, port
        Where it answers from here.
    token
        Ray's; "" when the cluster asks for none.
    timeout
        Seconds for one answer.
    """

    def __init__(self, host: str, port: int, token: str = "", *, timeout: float = 15.0) -> None:
        self.host, self.port, self.timeout = host, port, timeout
        self._token = token

    async def version(self) -> Json:
        """``ray_version`` and ``session_name``, among others. Answers once the dashboard is up."""
        return await self._json("GET", "/api/version")

    async def cluster_status(self) -> Json:
        """Ray's own account of its nodes and resources, summed up every few seconds."""
        return await self._json("GET", "/api/cluster_status")

    async def nodes(self) -> Json:
        """What each node has, and what each of its workers uses, as of a few seconds ago."""
        return await self._json("GET", "/nodes?view=summary")

    async def applications(self) -> Json:
        """Serve's own account of itself: ``applications`` and ``proxies``, both empty while Serve does not run."""
        return await self._json("GET", "/api/serve/applications/")

    async def put_applications(self, config: Json) -> None:
        """Make ``config`` all that Serve runs. Returns when Serve has taken it, not when it runs."""
        await self._request("PUT", "/api/serve/applications/", config, timeout=_CONFIGURE_S)

    async def serve_answers(self, port: int) -> bool:
        """Whether Serve's proxy at ``port`` has somebody to hand a request to. Its port asks for no token."""

        def ask() -> bool:
            connection = http.client.HTTPConnection(self.host, port, timeout=2)
            try:
                connection.request("GET", "/-/healthz")
                return connection.getresponse().status == 200
            except (OSError, http.client.HTTPException):
                return False
            finally:
                connection.close()

        return await asyncio.to_thread(ask)

    async def tasks(self, job_id: str) -> Json:
        """How many tasks of a driver's job (Ray's id, in hexadecimal) are in which state, by name, as of a second ago."""
        return await self._json("GET", f"/api/v0/tasks/summarize?filter_keys=job_id&filter_predicates=%3D&filter_values={quote(job_id)}")

    async def submit_job(self, entrypoint: str, job_id: str, **more: Any) -> None:
        """Start a command on the cluster. ``more``: runtime_env, metadata, entrypoint_num_cpus, …, as Ray names them."""
        await self._request("POST", "/api/jobs/", {"entrypoint": entrypoint, "submission_id": job_id, **more}, timeout=60)

    async def job(self, job_id: str) -> Json:
        """``status`` (PENDING, RUNNING, STOPPED, SUCCEEDED, FAILED), ``message``, ``driver_exit_code``, times in ms."""
        return await self._json("GET", f"/api/jobs/{quote(job_id)}")

    async def job_logs(self, job_id: str) -> str:
        """All that a job has printed so far."""
        return str((await self._json("GET", f"/api/jobs/{quote(job_id)}/logs")).get("logs") or "")

    async def stop_job(self, job_id: str) -> None:
        """Ask a job to end. One that has ended, or never was, is no error."""
        try:
            await self._request("POST", f"/api/jobs/{quote(job_id)}/stop")
        except NotFound:
            return

    async def _json(self, method: str, path: str) -> Json:
        text = await self._request(method, path)
        try:
            value = json.loads(text)
        except ValueError:
            raise Unreachable(f"What answers at {self.host}:{self.port} is no Ray dashboard.") from None
        return value if isinstance(value, dict) else {}

    async def _request(self, method: str, path: str, body: Json | None = None, *, timeout: float = 0) -> str:
        return await asyncio.to_thread(self._ask, method, path, body, timeout or self.timeout)

    def _ask(self, method: str, path: str, body: Json | None, timeout: float) -> str:
        headers = {"Content-Type": "application/json", "Connection": "close"}
        if self._token:
            # Proxies on the way take Authorization for their own.
            headers["x-ray-authorization"] = f"Bearer {self._token}"
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            words = str(error) or type(error).__name__
            raise Unreachable(f"Ray's dashboard at {self.host}:{self.port} does not answer ({words}).", "Wait for the head.") from error
        finally:
            connection.close()
        return _checked(response.status, text, f"{method} {path}")


# What the dashboard says with status 500 while a node's agent is still on its way: on a busy machine, well after the head is ready.
# A job that was submitted all the same is known by its id when it is submitted again.
_NOT_YET = ("No available agent to submit job", "Cannot connect to host", "ServerDisconnectedError")


def _checked(status: int, text: str, asked: str) -> str:
    if status < 300:
        return text
    if status in (401, 403):
        raise Forbidden(f"Ray's dashboard refuses the token ({status}).", "The cluster was made again: ask for its token anew.")
    if status == 404:
        raise NotFound(f"Ray's dashboard knows nothing at {asked}.")
    if status in (502, 503, 504) or any(words in text for words in _NOT_YET):
        raise Unreachable(f"Ray's dashboard cannot answer {asked} now: {text[-500:]}")
    raise Failed(text.strip()[-4000:] or f"{asked} was answered with {status}.")
