"""The Backend contract on Kubernetes: the API server keeps what is asked for, the KubeRay operator makes it so."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from jupyter_kuberay.backends.base import CLIENT_PORT, DASHBOARD_PORT, GCS_PORT, METRICS_PORT, SERVE_PORT, Backend
from jupyter_kuberay.backends.kuberay import logs
from jupyter_kuberay.backends.kuberay.api import APPLY, FIELD_MANAGER, JSON_PATCH, Api
from jupyter_kuberay.backends.kuberay.observe import (
    CLUSTER,
    cluster_of,
    clusters_of,
    is_cleaned_up_after,
    observed,
    subject,
)
from jupyter_kuberay.backends.kuberay.paths import CONFIG_MAPS, EVENTS, PLACES, PODS, ROUTES, SECRETS, Place
from jupyter_kuberay.backends.kuberay.reflector import listed
from jupyter_kuberay.backends.kuberay.refusals import Asked
from jupyter_kuberay.backends.kuberay.tunnel import tunnel
from jupyter_kuberay.backends.kuberay.watching import Watches
from jupyter_kuberay.backends.patches import apply_patch
from jupyter_kuberay.backends.valid import check_name
from jupyter_kuberay.errors import Forbidden, InvalidSpec, NotFound, Unreachable
from jupyter_kuberay.loop import Turn
from jupyter_kuberay.observation import Bundle, Change, Endpoint, Json, Kind, Observation, originated_from

_REACH_S = 5.0
_AGAIN_S = 0.2
_SECRET_NAME_LENGTH = 50  # KubeRay keeps so many of the last characters of a cluster's name
_KUBERAYS_PORTS = (CLIENT_PORT, DASHBOARD_PORT, GCS_PORT, SERVE_PORT, METRICS_PORT)

K = TypeVar("K")


class KubeRayBackend(Backend):
    """Ray clusters on Kubernetes, in one namespace.

    Parameters
    ----------
    context, namespace
        Of the kubeconfig; default: its current one, and that one's.
    kubeconfig
        Its path; default: $KUBECONFIG, or ~/.kube/config; in a pod: its service account.
    """

    name = "kuberay"

    def __init__(self, context: str = "", namespace: str = "", kubeconfig: str = "") -> None:
        self._where = (context, namespace, kubeconfig)
        self.api = Api(*self._where)
        self._watches = Watches(self.api)

    async def create(self, bundle: Bundle) -> Observation:
        kind, name = Kind(bundle.resource["kind"]), str(bundle.resource["metadata"].get("name", ""))
        check_name(kind, name)
        for config_map in bundle.config_maps:
            await self._apply(CONFIG_MAPS, config_map)
        secret = await self._post(SECRETS, bundle.secret) if bundle.secret else None
        try:
            # Not by server-side apply, which cannot be told to refuse what is there already (docs/decisions/0060).
            made = await self._post(PLACES[kind], bundle.resource)
        except BaseException:
            if secret is not None:
                await asyncio.shield(self._request("DELETE", SECRETS, "Secret", secret["metadata"]["name"]))
            raise
        if secret is not None:
            await self._own(secret, made)
        try:
            for route in bundle.routes:
                place = ROUTES[route["apiVersion"], route["kind"]]
                await self._post(place, {**route, "metadata": {**route["metadata"], "ownerReferences": [_reference(made)]}})
        except BaseException:
            await asyncio.shield(self._delete(kind, name, "Foreground"))
            raise
        self._watches.saw(kind, made)
        return observed(kind, made)

    async def rehearse(self, cluster: Json) -> str:
        await self._post(PLACES[Kind.CLUSTER], cluster, dry=True)
        spec, name = cluster["spec"], str(cluster["metadata"]["name"])
        for group in [spec["headGroupSpec"], *(spec.get("workerGroupSpecs") or [])]:
            template = group["template"]
            metadata = {**(template.get("metadata") or {}), "name": f"{name[:40]}-dry-run"}
            try:
                await self._post(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}, dry=True)
            except Forbidden as error:
                if "may not create pods" in error.message:  # no right of a user's, who has KubeRay make them
                    return "Whether its pods would be taken was not tried: you may not create pods yourself."
                raise
        return ""

    async def _post(self, place: Place, thing: Json, *, dry: bool = False) -> Json:
        name = str(thing["metadata"].get("name", ""))
        path = place.path(await self.api.namespace())
        query = {"fieldManager": FIELD_MANAGER} | ({"dryRun": "All"} if dry else {})
        return await self.api.request("POST", path, asked=_asked(thing["kind"], name, place), query=query, body=thing)

    async def _apply(self, place: Place, thing: Json) -> None:
        """What many resources share and no one else writes: made, or brought to what it should be."""
        name = str(thing["metadata"]["name"])
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        path = place.path(await self.api.namespace(), name)
        await self.api.request("PATCH", path, asked=_asked(thing["kind"], name, place), query=query, body=thing, content_type=APPLY)

    async def _own(self, secret: Json, owner: Json) -> None:
        """Let a Secret go with what it was made for."""
        steps = [{"op": "add", "path": "/metadata/ownerReferences", "value": [_reference(owner)]}]
        await self._request("PATCH", SECRETS, "Secret", secret["metadata"]["name"], body=steps, content_type=JSON_PATCH)

    async def _request(self, method: str, place: Place, kind: str, name: str, **more: Any) -> Json:
        path = place.path(await self.api.namespace(), name)
        return await self.api.request(method, path, asked=_asked(kind, name, place), **more)

    async def patch(self, kind: Kind, name: str, patch: Sequence[Json]) -> Observation:
        check_name(kind, name)
        query = {"fieldManager": FIELD_MANAGER}
        try:
            after = await self._request("PATCH", PLACES[kind], kind, name, body=[*patch], content_type=JSON_PATCH, query=query)
        except InvalidSpec:
            # The server does not say which part of a patch it cannot do: whether a `test` failed is seen in what is there.
            apply_patch(await self._request("GET", PLACES[kind], kind, name), patch)
            raise
        self._watches.saw(kind, after)
        return await self._with_parts(kind, after)

    async def get(self, kind: Kind, name: str) -> Observation:
        check_name(kind, name)
        return await self._with_parts(kind, await self._request("GET", PLACES[kind], kind, name))

    async def _with_parts(self, kind: Kind, thing: Json) -> Observation:
        """A resource with its pods and events, two more requests."""
        clusters = clusters_of(kind, thing)
        if kind is Kind.REVISION:
            return observed(kind, thing)
        labels = f"{CLUSTER} in ({','.join(clusters)})" if clusters else ""
        pods, events = await asyncio.gather(listed(self.api, PODS, labels) if labels else _nothing(), listed(self.api, EVENTS))
        subjects = set(_subjects(kind, thing, clusters, pods))
        return observed(kind, thing, pods, [event for event in events if subject(event) in subjects])

    async def list(self, kind: Kind, selector: Mapping[str, str] | None = None) -> list[Observation]:
        labels = _selector(selector or {})
        things, pods, events = await asyncio.gather(
            listed(self.api, PLACES[kind], labels),
            _nothing() if kind is Kind.REVISION else listed(self.api, PODS, CLUSTER),
            _nothing() if kind is Kind.REVISION else listed(self.api, EVENTS),
        )
        by_cluster = _grouped(pods, cluster_of)
        by_subject = _grouped(events, subject)
        found, turn = [], Turn()
        for thing in sorted(things, key=lambda thing: str(thing["metadata"]["name"])):
            clusters = clusters_of(kind, thing)
            own = [pod for cluster in clusters for pod in by_cluster.get(cluster, [])]
            told = [event for about in _subjects(kind, thing, clusters, own) for event in by_subject.get(about, [])]
            found.append(observed(kind, thing, own, told))
            await turn.others()
        return found

    def watch(self, kind: Kind, selector: Mapping[str, str] | None = None) -> AsyncIterator[Change]:
        return self._watches.watch(kind, dict(selector or {}))

    async def delete(self, kind: Kind, name: str) -> None:
        check_name(kind, name)
        await self._delete(kind, name, "Background" if await self._is_cleaned_up_after(kind, name) else "Foreground")

    async def _delete(self, kind: Kind, name: str, policy: str) -> None:
        leaving = await self._request("DELETE", PLACES[kind], kind, name, body={"propagationPolicy": policy})
        if (leaving.get("metadata") or {}).get("deletionTimestamp"):
            self._watches.saw(kind, leaving)

    async def _is_cleaned_up_after(self, kind: Kind, name: str) -> bool:
        """Whether it may not be deleted in the foreground, as all else is, so that its end is the end of all that it owns.

        KubeRay then runs a job for a RayCluster, which stays until that has ended. In the foreground Kubernetes would delete the job
        as soon as it is there, again and again; and KubeRay would make a RayService a new cluster when the first has gone.
        """
        if kind is Kind.REVISION:
            return False
        if kind is Kind.CLUSTER:
            return is_cleaned_up_after(await self._request("GET", PLACES[kind], kind, name))
        return any(map(is_cleaned_up_after, await listed(self.api, PLACES[Kind.CLUSTER], _selector(originated_from(kind, name)))))

    @asynccontextmanager
    async def reach(self, name: str, port: int) -> AsyncIterator[Endpoint]:
        check_name(Kind.CLUSTER, name)
        cluster = await self._request("GET", PLACES[Kind.CLUSTER], Kind.CLUSTER, name)
        if port not in _open_ports(cluster):
            raise Unreachable(f"RayCluster {name!r} has no port {port}.", "Declare it among the head's ports.")
        await self._head(name)
        token = await self._token(cluster)
        credentials = await self.api.credentials()
        service = str(((cluster.get("status") or {}).get("head") or {}).get("serviceName") or "")
        if credentials.inside and service:
            yield Endpoint(host=f"{service}.{credentials.namespace}.svc", port=port, token=token)
            return
        async with tunnel(self.api, partial(self._head, name), port) as local:
            yield Endpoint(host="127.0.0.1", port=local, token=token)

    @asynccontextmanager
    async def reach_worker(self, name: str, ip: str, port: int) -> AsyncIterator[Endpoint]:
        check_name(Kind.CLUSTER, name)
        await self._worker(name, ip)  # the address is Ray's word; who is asked is a pod of this cluster
        if (await self.api.credentials()).inside:
            yield Endpoint(host=ip, port=port)
            return
        async with tunnel(self.api, partial(self._worker, name, ip), port) as local:
            yield Endpoint(host="127.0.0.1", port=local)

    async def _worker(self, name: str, ip: str) -> str:
        """The running pod with that address."""
        for pod in await listed(self.api, PODS, f"{CLUSTER}={name}"):
            if _runs(pod) and (pod.get("status") or {}).get("podIP") == ip:
                return str(pod["metadata"]["name"])
        raise Unreachable(f"RayCluster {name!r} has no running pod at {ip}.", "It has ended.")

    async def _head(self, name: str) -> str:
        """The head's pod, once it runs; `Unreachable` when it does not within some seconds."""
        deadline = asyncio.get_running_loop().time() + _REACH_S
        while True:
            pods = await listed(self.api, PODS, f"{CLUSTER}={name},ray.io/node-type=head")
            running = [pod for pod in pods if _runs(pod)]
            if running:
                return str(max(running, key=lambda each: str(each["metadata"]["creationTimestamp"]))["metadata"]["name"])
            if not pods or asyncio.get_running_loop().time() > deadline:
                raise Unreachable(f"The head of RayCluster {name!r} does not run.", "See its status; it may still be starting.")
            await asyncio.sleep(_AGAIN_S)

    async def _token(self, cluster: Json) -> str:
        options = (cluster.get("spec") or {}).get("authOptions") or {}
        if options.get("mode") != "token":
            return ""
        name = str(options.get("secretName") or cluster["metadata"]["name"][-_SECRET_NAME_LENGTH:].lstrip("-."))
        secret = await self._request("GET", SECRETS, "Secret", name)
        return base64.b64decode((secret.get("data") or {}).get("auth_token", "")).decode()

    async def logs(
        self, name: str, node: str = "", *, kind: Kind = Kind.CLUSTER, follow: bool = False, tail: int = 200
    ) -> AsyncIterator[str]:
        seen = await self.get(kind, name)
        if kind is Kind.JOB and not node:
            lines = logs.job_lines(partial(self.get, kind, name), self.reach, follow=follow, tail=tail)
        else:
            lines = logs.pod_lines(self.api, logs.log_pod(seen, node), follow=follow, tail=tail)
        try:
            async for line in lines:
                yield line
        finally:
            await lines.aclose()

    def now(self) -> datetime:
        """The API server's time, as far as it is known: this machine's clock may be off by minutes."""
        return datetime.now(UTC) + self.api.ahead

    def user(self) -> str:
        """The name that the API server gives us; "" when it tells none (servers before Kubernetes 1.28)."""
        # On a loop of its own: whoever calls may be on the one that this backend works on.
        with ThreadPoolExecutor(1, thread_name_prefix="jupyter-kuberay-user") as beside:
            return beside.submit(asyncio.run, _reviewed(Api(*self._where))).result()

    async def close(self) -> None:
        await self._watches.close()
        await self.api.close()


def _selector(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in labels.items())


def _reference(owner: Json) -> Json:
    return {key: owner["metadata"][key] for key in ("name", "uid")} | {"apiVersion": owner["apiVersion"], "kind": owner["kind"]}


def _asked(kind: str, name: str, place: Place) -> Asked:
    return Asked(what=f"{kind} {name!r}", place=place.resource)


async def _reviewed(api: Api) -> str:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    try:
        told = await api.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=body, timeout=5)
    except (NotFound, Unreachable, Forbidden):
        return ""  # what is asked next will say so
    finally:
        await api.close()
    return str(((told.get("status") or {}).get("userInfo") or {}).get("username") or "")


async def _nothing() -> list[Json]:
    return []


def _subjects(kind: Kind, thing: Json, clusters: Sequence[str], pods: Sequence[Json]) -> list[tuple[str, str]]:
    """What events may be about that concern a resource."""
    found = {(str(kind), str(thing["metadata"]["name"])), *((str(Kind.CLUSTER), cluster) for cluster in clusters)}
    return sorted(found | {("Pod", str(pod["metadata"]["name"])) for pod in pods})


def _grouped(things: Sequence[Json], key: Callable[[Json], K]) -> dict[K, list[Json]]:
    groups: dict[K, list[Json]] = {}
    for thing in things:
        groups.setdefault(key(thing), []).append(thing)
    return groups


def _open_ports(cluster: Json) -> set[int]:
    """The head's ports: those that it declares, or KubeRay's own when it declares none."""
    container = cluster["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    return {int(port["containerPort"]) for port in container.get("ports") or []} or set(_KUBERAYS_PORTS)


def _runs(pod: Json) -> bool:
    status = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp"):
        return False
    states = [(part.get("state") or {}) for part in status.get("containerStatuses") or []]
    return bool(states) and "running" in states[0]
