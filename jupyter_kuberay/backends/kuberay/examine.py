"""Asks a Kubernetes cluster what would keep a user from working; `answers` is what comes back.

Each question has a time limit and its own answer, so that one that cannot be
answered hides no other. A server that does not answer is asked once.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Collection, Coroutine, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, TypeVar

from jupyter_kuberay.backends.base import DASHBOARD_PORT
from jupyter_kuberay.backends.kuberay import rights
from jupyter_kuberay.backends.kuberay.answers import Answered, Answers, Target, User
from jupyter_kuberay.backends.kuberay.api import Api
from jupyter_kuberay.backends.kuberay.backend import KubeRayBackend
from jupyter_kuberay.backends.kuberay.paths import EVENTS, PLACES, PODS, Place
from jupyter_kuberay.backends.kuberay.refusals import Asked, refused
from jupyter_kuberay.errors import Forbidden, InvalidSpec, KubeRayError, Refused, TimedOut, Unreachable
from jupyter_kuberay.observation import Bundle, Json, Kind, Observation

T = TypeVar("T")

CLAIMS = Place("", "v1", "persistentvolumeclaims")
_KNOCK_S = 2.0
_ANSWER_S = 5.0
_OPERATOR_S = 10.0  # it has answered in tenths of a second wherever it was seen to work
_REVIEWS = "/apis/authorization.k8s.io/v1"


async def examine(
    backend: KubeRayBackend, *, claims: Collection[str] = (), routes: Collection[str] = (), try_out: Bundle | None = None
) -> Answers:
    """All answers; this raises nothing that a cluster can cause.

    Parameters
    ----------
    claims
        Names of PersistentVolumeClaims to look for.
    routes
        By which kinds profiles expose services: "Ingress", "HTTPRoute".
    try_out
        A suspended RayCluster, which is made and deleted again to see that the operator answers.
    """
    # Seconds on a busy machine, for which no server is to blame.
    import aiohttp  # noqa: F401
    import kubernetes.aio.config  # noqa: F401

    api = backend.api
    target = await _answered(_target(api), _KNOCK_S)
    if isinstance(target, KubeRayError):
        return Answers(target=target, version=target)
    version = await _answered(_version(api), _KNOCK_S)
    if isinstance(version, KubeRayError) and not isinstance(version, Forbidden):
        return Answers(target=target, version=version)
    who = await _answered(_who(api))
    user, now = (who, None) if isinstance(who, KubeRayError) else who
    here = datetime.now(UTC)
    if isinstance(version, Forbidden) and isinstance(user, Forbidden):
        return Answers(target=target, version=version, user=user)
    questions: dict[str, Coroutine[Any, Any, Any]] = {
        "namespace": api.request(
            "GET", f"/api/v1/namespaces/{target.namespace}", asked=Asked(f"namespace {target.namespace!r}", "namespaces")
        ),
        "groups": _groups(api),
        "fields": _fields(api),
        "allowed": _allowed(api, target.namespace, rights.needed_with(routes)),
        "resources": _resources(api),
        "events": _items(api, EVENTS.path(target.namespace), "events"),
        "nodes": _items(api, "/api/v1/nodes", "nodes"),
        "pods": _placed_pods(api),
    }
    questions |= {"dns": _dns()} if target.inside else {"tunnel": _tunnel(api)}
    questions |= {f"claim {name}": _claim(api, name) for name in claims}
    told = dict(zip(questions, await asyncio.gather(*map(_answered, questions.values())), strict=True))
    seen = {name: told.pop(f"claim {name}") for name in claims}
    tried = await _answered(_tried(backend, try_out), 2 * _OPERATOR_S) if try_out else None
    return Answers(target=target, version=version, user=user, now=now, here=here, claims=seen, tried=tried, **told)


async def _answered(asking: Awaitable[T], seconds: float = _ANSWER_S) -> Answered[T]:
    try:
        async with asyncio.timeout(seconds):
            return await asking
    except KubeRayError as error:
        return error
    except TimeoutError:
        return TimedOut(f"No answer came within {seconds:.0f} s.", "Try again in a moment.")


async def _target(api: Api) -> Target:
    try:
        credentials = await api.credentials()
    except (OSError, ValueError) as error:  # a certificate or key that is not there, or is none
        raise InvalidSpec(f"The kubeconfig's certificates cannot be used: {error}", "Log in again, as for kubectl.") from error
    return Target(credentials.host, credentials.context, credentials.namespace, credentials.inside)


async def _version(api: Api) -> str:
    """The API server's version, by the one request that is not tried again: whoever asks waits for a diagnosis."""
    asked = Asked(place="version")
    try:
        async with aclosing(api.lines("/version", asked=asked, query={}, silence=None, timeout=_KNOCK_S - 0.2)) as lines:
            answer = json.loads(b"\n".join([line async for line in lines]))
            return str(answer["gitVersion"])
    except (ValueError, KeyError, TypeError):
        raise _no_api_server() from None
    except Unreachable as error:
        raise (_no_api_server() if error.message == refused(404, b"", asked).message else error) from None


def _no_api_server() -> Unreachable:
    return Unreachable(
        "What answers there is no Kubernetes API server.", "Check the server's address in your kubeconfig: kubectl cluster-info."
    )


async def _who(api: Api) -> tuple[User, datetime | None]:
    """Who the API server takes us for, and what time it is there."""
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    asked = Asked(place="selfsubjectreviews.authentication.k8s.io")
    answer = await api.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", asked=asked, body=body)
    found = (answer.get("status") or {}).get("userInfo") or {}
    user = User(str(found.get("username") or ""), tuple(found.get("groups") or ()))
    created = (answer.get("metadata") or {}).get("creationTimestamp")
    return user, datetime.fromisoformat(created) if created else None


async def _groups(api: Api) -> frozenset[str]:
    answer = await api.request("GET", "/apis", asked=Asked(place="API groups"))
    return frozenset(str(version["groupVersion"]) for group in answer.get("groups") or [] for version in group.get("versions") or [])


async def _fields(api: Api) -> frozenset[str]:
    return spec_fields(await api.request("GET", "/openapi/v3/apis/ray.io/v1", asked=Asked(place="OpenAPI of ray.io/v1")))


def spec_fields(openapi: Json) -> frozenset[str]:
    """The fields of a RayCluster's spec, two steps deep, such as "authOptions" and "authOptions.mode". Pure."""
    for schema in ((openapi.get("components") or {}).get("schemas") or {}).values():
        kinds = [kind.get("kind") for kind in schema.get("x-kubernetes-group-version-kind") or []]
        if "RayCluster" in kinds:
            spec = (schema.get("properties") or {}).get("spec") or {}
            return frozenset(_paths(spec, 2))
    return frozenset()


def _paths(schema: Json, depth: int, before: str = "") -> list[str]:
    found = []
    for name, part in (schema.get("properties") or {}).items():
        found.append(before + name)
        if depth > 1:
            found += _paths(part, depth - 1, f"{before}{name}.")
    return found


async def _allowed(api: Api, namespace: str, needed: Sequence[rights.Right]) -> rights.Allowed:
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace}}
    asked = Asked(place="selfsubjectrulesreviews.authorization.k8s.io")
    answer = await api.request("POST", f"{_REVIEWS}/selfsubjectrulesreviews", asked=asked, body=body)
    status = answer.get("status") or {}
    found = rights.allowed(status.get("resourceRules") or [], needed)
    if not found.lacking or not status.get("incomplete"):
        return found
    # An authorizer that cannot list its rules (a webhook, the nodes' own) may still grant them.
    single = [one for right in found.lacking for one in right.split()]
    granted = await asyncio.gather(*(_granted(api, namespace, one) for one in single))
    return rights.without(found, dict(zip(single, granted, strict=True)).__getitem__)


async def _granted(api: Api, namespace: str, right: rights.Right) -> bool:
    resource, _, part = right.resource.partition("/")
    asked = {"namespace": namespace, "group": right.group, "resource": resource, "subresource": part, "verb": right.verbs[0]}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": asked}}
    answer = await api.request("POST", f"{_REVIEWS}/selfsubjectaccessreviews", asked=Asked(place="selfsubjectaccessreviews"), body=body)
    return bool((answer.get("status") or {}).get("allowed"))


async def _items(api: Api, path: str, what: str, **query: str) -> list[Json]:
    answer = await api.request("GET", path, asked=Asked(what, what), query=query)
    return [*(answer.get("items") or [])]


async def _resources(api: Api) -> list[Json]:
    """What the operator has to answer to, each with its kind; of the kinds that may be seen."""
    namespace, kinds = await api.namespace(), (Kind.CLUSTER, Kind.SERVICE, Kind.JOB)
    lists = await asyncio.gather(*(_answered(_items(api, PLACES[kind].path(namespace), PLACES[kind].resource)) for kind in kinds))
    found = [{"kind": str(kind)} | thing for kind, things in zip(kinds, lists, strict=True) if isinstance(things, list) for thing in things]
    if isinstance(lists[0], KubeRayError) and not found:
        raise lists[0]
    return found


async def _placed_pods(api: Api) -> list[Json]:
    """Pods of all namespaces that take something of a node."""
    placed = "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"
    return await _items(api, "/api/v1/pods", "pods", fieldSelector=placed)


async def _dns() -> str:
    try:
        found = await asyncio.get_running_loop().getaddrinfo("kubernetes.default.svc", 443)
    except OSError as error:
        raise Unreachable(
            f"The name kubernetes.default.svc has no address: {error.strerror or error}.", "See that the cluster's DNS works."
        ) from error
    return str(found[0][4][0])


async def _tunnel(api: Api) -> str | None:
    """The head to which a tunnel was opened; None when there is none that runs."""
    heads = await _items(api, PODS.path(await api.namespace()), "pods", labelSelector="ray.io/node-type=head")
    running = [pod for pod in heads if (pod.get("status") or {}).get("phase") == "Running" and not pod["metadata"].get("deletionTimestamp")]
    if not running:
        return None
    name = str(max(running, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))["metadata"]["name"])
    import aiohttp

    try:
        path = PODS.path(await api.namespace(), name, "portforward")
        async with api.websocket(path, {"ports": str(DASHBOARD_PORT)}, "v4.channel.k8s.io") as socket:
            first = await socket.receive()
    except aiohttp.WSServerHandshakeError as error:
        raise refused(error.status, b"", Asked(f"a tunnel to pod {name!r}", "pods/portforward")) from error
    except (aiohttp.ClientError, OSError) as error:
        raise Unreachable(f"A tunnel to pod {name!r} breaks: {error}.", "See that no proxy stops websockets.") from error
    if first.type is not aiohttp.WSMsgType.BINARY:
        raise Unreachable(f"A tunnel to pod {name!r} is closed at once.", "See that no proxy stops websockets.")
    return name


async def _claim(api: Api, name: str) -> Json:
    return await api.request(
        "GET", CLAIMS.path(await api.namespace(), name), asked=Asked(f"PersistentVolumeClaim {name!r}", CLAIMS.resource)
    )


async def _tried(backend: KubeRayBackend, bundle: Bundle) -> float:
    """Seconds until the operator said something about a cluster that was made for that, and is gone again."""
    name, began = str(bundle.resource["metadata"]["name"]), time.monotonic()
    creating = asyncio.ensure_future(backend.create(bundle))
    try:
        await asyncio.shield(creating)
        async with asyncio.timeout(_OPERATOR_S), aclosing(_said(backend, name)) as news:
            async for refusal in news:
                if refusal:
                    raise Refused(f"The operator refuses a cluster: {refusal}", "Change the profile as it says.")
                return time.monotonic() - began
    except TimeoutError:
        pass
    finally:
        await asyncio.shield(_taken_away(backend, name, creating))
    raise Unreachable(f"A cluster was made to try it, and nothing happened to it within {_OPERATOR_S:.0f} s.")


async def _taken_away(backend: KubeRayBackend, name: str, creating: asyncio.Future[Observation]) -> None:
    """Delete what was made; it may be made although nobody waits for that any more."""
    try:
        await creating
    except KubeRayError:
        return
    await backend.delete(Kind.CLUSTER, name)


async def _said(backend: KubeRayBackend, name: str) -> AsyncGenerator[str]:
    """What the operator refuses of a cluster, or "" when it takes it."""
    async with aclosing(backend.watch(Kind.CLUSTER)) as changes:  # type: ignore[type-var]
        async for change in changes:
            if change.seen is None or change.seen.name != name:
                continue
            if change.seen.status:
                yield ""
            for event in change.seen.events:
                yield event.message if event.warning else ""
