"""Whether a cluster can be attached to, found out in moments instead of by Ray's time limits.

Ray Client answers a wrong token, a dead head and a foreign version alike:
by 30 s of silence. So each is asked for before it connects.
"""

from __future__ import annotations

import http.client
import json
import platform
import socket
import time
from dataclasses import dataclass
from enum import Enum, auto

from jupyter_kuberay import grammar
from jupyter_kuberay.errors import Forbidden, Unreachable, VersionMismatch
from jupyter_kuberay.observation import Endpoint

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 2.0
_AGAIN_SECONDS = 0.2


@dataclass(frozen=True)
class Versions:
    """What of two sides must agree; ``""`` is not known."""

    ray: str = ""
    python: str = ""  # 3.11.7

    @classmethod
    def here(cls) -> Versions:
        """Those of this process."""
        from importlib.metadata import version

        return cls(ray=version("ray"), python=platform.python_version())

    @property
    def python_minor(self) -> str:
        return ".".join(self.python.split(".")[:2])

    def __str__(self) -> str:
        told = (self.ray and f"Ray {self.ray}", self.python and f"Python {self.python_minor}")
        return " and ".join(filter(None, told)) or "unknown versions"


def check_versions(cluster: str, there: Versions, here: Versions) -> None:
    """Raise `VersionMismatch` unless Ray is the same and Python agrees in its minor version.

    What is not known of either side is taken to agree.
    """
    advice = []
    if there.ray and here.ray and there.ray != here.ray:
        advice.append(f"install ray=={there.ray} in this kernel")
    if there.python and here.python and there.python_minor != here.python_minor:
        advice.append(f"use a kernel with Python {there.python_minor}")
    if advice:
        raise VersionMismatch(
            f"Cluster {cluster!r} runs {there}, but this kernel has {here}.",
            f"Bring the cluster up again with an image for {here}, as the default image is; or {' and '.join(advice)}.",
        )


class Answer(Enum):
    """How a client port reacts."""

    WELCOME = auto()
    FORBIDDEN = auto()  # the token is wrong or missing
    REFUSED = auto()  # the machine is there, and nothing listens
    SILENT = auto()  # nothing came back in time, or nothing that is Ray's


def knock(endpoint: Endpoint, *, seconds: float = CONNECT_SECONDS) -> Answer:
    """Ask a Ray Client port for a sign of life, with the token; takes milliseconds where all is well."""
    # gRPC retries a refused connection until its time limit; a plain one knows at once.
    try:
        socket.create_connection((endpoint.host, endpoint.port), timeout=seconds).close()
    except (ConnectionError, socket.gaierror):
        return Answer.REFUSED
    except OSError:
        return Answer.SILENT
    return _ping(endpoint, seconds)


def knock_until_open(endpoint: Endpoint, *, opens: float) -> Answer:
    """As `knock`, but a port that refuses may still open for so many seconds; any other answer counts at once."""
    deadline = time.monotonic() + opens
    while (answer := knock(endpoint)) is Answer.REFUSED and time.monotonic() < deadline:
        time.sleep(_AGAIN_SECONDS)
    return answer


def _ping(endpoint: Endpoint, seconds: float) -> Answer:
    import grpc

    grammar.delay()
    from ray.core.generated import ray_client_pb2, ray_client_pb2_grpc

    request = ray_client_pb2.ClusterInfoRequest(type=ray_client_pb2.ClusterInfoType.PING)
    with grpc.insecure_channel(endpoint.address) as channel:
        try:
            ray_client_pb2_grpc.RayletDriverStub(channel).ClusterInfo(request, metadata=token_metadata(endpoint), timeout=seconds)
        except grpc.RpcError as error:
            if error.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
                return Answer.FORBIDDEN
            # Somebody took the connection and closed it again: a tunnel whose other end is gone.
            return Answer.REFUSED if error.code() is grpc.StatusCode.UNAVAILABLE else Answer.SILENT
    return Answer.WELCOME


def token_metadata(endpoint: Endpoint) -> list[tuple[str, str]]:
    """What a gRPC call to Ray carries to be let in."""
    return [("authorization", f"Bearer {endpoint.token}")] if endpoint.token else []


def check_answer(cluster: str, endpoint: Endpoint, answer: Answer) -> None:
    """Raise what ``answer`` means for a person: `Forbidden`, `Unreachable`, or nothing."""
    if answer is Answer.FORBIDDEN:
        raise Forbidden(
            f"Cluster {cluster!r} did not accept the token.",
            "The token belongs to another cluster, or the cluster was made anew: look it up again.",
        )
    if answer is Answer.REFUSED:
        raise Unreachable(
            f"Nothing answers for cluster {cluster!r} at {endpoint.address}.",
            "Its head is not running: see its status, and its log for the reason.",
        )
    if answer is Answer.SILENT:
        raise Unreachable(
            f"Cluster {cluster!r} does not answer at {endpoint.address} as a Ray Client port does.",
            "Check that the head is ready and that no firewall or proxy is in between.",
        )


def dashboard_versions(dashboard: Endpoint, *, seconds: float = ANSWER_SECONDS) -> Versions | None:
    """Ask a dashboard what the cluster runs; None when it is not (yet) there to answer."""
    metadata = _get(dashboard, "/api/v0/cluster_metadata", seconds)
    if metadata and isinstance(data := metadata.get("data"), dict):
        return Versions(ray=str(data.get("rayVersion") or ""), python=str(data.get("pythonVersion") or ""))
    version = _get(dashboard, "/api/version", seconds)
    return Versions(ray=str(version.get("ray_version") or "")) if version else None


def _get(endpoint: Endpoint, path: str, seconds: float) -> dict[str, object] | None:
    connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=seconds)
    # Proxies of Kubernetes strip Authorization and pass this one.
    headers = {"x-ray-authorization": f"Bearer {endpoint.token}"} if endpoint.token else {}
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = json.loads(answer.read()) if answer.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return body if isinstance(body, dict) else None
