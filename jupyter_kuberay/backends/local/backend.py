"""The Backend contract on one machine: folders say what is asked for, supervisors make it so."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from jupyter_kuberay.backends.base import CLIENT_PORT, DASHBOARD_PORT, GCS_PORT, METRICS_PORT, SERVE_PORT, Backend
from jupyter_kuberay.backends.local import logs, supervision, watching
from jupyter_kuberay.backends.local.nodes import LOOPBACK
from jupyter_kuberay.backends.local.observe import matches, observed
from jupyter_kuberay.backends.local.ports import answers
from jupyter_kuberay.backends.local.store import Kept, Store, event
from jupyter_kuberay.backends.local.supervision import cluster_of_job, root_of
from jupyter_kuberay.errors import KubeRayError, NotFound, Unreachable
from jupyter_kuberay.observation import Bundle, Change, Endpoint, Json, Kind, Observation

_PORTS = {CLIENT_PORT: "client", DASHBOARD_PORT: "dashboard", SERVE_PORT: "serve", GCS_PORT: "gcs-server", METRICS_PORT: "metrics"}
_REACH_S = 5.0

Observations = list[Observation]  # within the class, `list` is its method


class LocalBackend(Backend):
    """Ray on this machine.

    Parameters
    ----------
    data_dir
        Where the folders of resources lie; "kuberay" in Jupyter's data directory by default.
    head_memory, worker_memory
        Bytes that a head and a worker need in truth. Without as many free, a node waits.
    """

    name = "local"

    def __init__(self, data_dir: Path | None = None, *, head_memory: int = int(1.2 * 2**30), worker_memory: int = int(0.4 * 2**30)) -> None:
        if data_dir is None:
            from jupyter_core.paths import jupyter_data_dir

            data_dir = Path(jupyter_data_dir()) / "kuberay"
        self.store = Store(Path(data_dir))
        self.needs = {"head_memory": head_memory, "worker_memory": worker_memory}

    async def create(self, bundle: Bundle) -> Observation:
        return await asyncio.to_thread(self._create, bundle)

    def _create(self, bundle: Bundle) -> Observation:
        token, maps = _token(bundle.secret), {each["metadata"]["name"]: _files(each) for each in bundle.config_maps}
        local = self.needs if bundle.resource["kind"] != "ControllerRevision" else None
        kept = self.store.create(bundle.resource, token=token, config_maps=maps, local=local)
        try:
            self._see_to(kept)
        except KubeRayError:
            self.store.remove(kept.kind, kept.name)
            raise
        return observed(self.store.find(kept.kind, kept.name) or kept)

    def _see_to(self, kept: Kept) -> None:
        """Let a supervisor take notice of a resource that is new or changed."""
        if root := root_of(self.store, kept):
            supervision.start(self.store, root)
        elif kept.kind == "RayJob":
            selected = cluster_of_job(kept.resource)
            self.store.tell(kept.kind, kept.name, event("RayClusterNotFound", f"There is no RayCluster {selected!r}.", warning=True))

    async def patch(self, kind: Kind, name: str, patch: Sequence[Json]) -> Observation:
        return await asyncio.to_thread(self._patch, kind, name, patch)

    def _patch(self, kind: Kind, name: str, patch: Sequence[Json]) -> Observation:
        self._look_after(self.store.read(kind, name))
        kept = self.store.patch(kind, name, patch)
        if not kept.deleting:
            self._see_to(kept)
        return observed(kept)

    async def get(self, kind: Kind, name: str) -> Observation:
        return await asyncio.to_thread(self._get, kind, name)

    def _get(self, kind: Kind, name: str) -> Observation:
        kept = self.store.read(kind, name)
        return observed(self.store.read(kind, name) if self._look_after(kept) else kept)

    async def list(self, kind: Kind, selector: Mapping[str, str] | None = None) -> list[Observation]:
        return await asyncio.to_thread(self._list, kind, dict(selector or {}))

    def _list(self, kind: Kind, selector: dict[str, str]) -> Observations:
        found = [kept for kept in self.store.all(kind) if matches(kept, selector)]
        if sum(self._look_after(kept) for kept in found):  # each of them is looked after, not only the first
            found = [kept for kept in self.store.all(kind) if matches(kept, selector)]
        return [observed(kept) for kept in found]

    def _look_after(self, kept: Kept) -> bool:
        root = root_of(self.store, kept)
        return root is not None and supervision.look_after(self.store, root)

    def watch(self, kind: Kind, selector: Mapping[str, str] | None = None) -> AsyncIterator[Change]:
        return watching.watch(self.store, kind, dict(selector or {}))

    async def delete(self, kind: Kind, name: str) -> None:
        await asyncio.to_thread(self._delete, kind, name)

    def _delete(self, kind: Kind, name: str) -> None:
        kept = self.store.mark_deleted(kind, name)
        root = root_of(self.store, kept)
        if root is None or not supervision.alive(self.store.folder(*root)):
            with suppress(NotFound):
                supervision.remove(self.store, kept)

    @asynccontextmanager
    async def reach(self, name: str, port: int) -> AsyncIterator[Endpoint]:
        deadline = asyncio.get_running_loop().time() + _REACH_S
        while True:
            seen = await self.get(Kind.CLUSTER, name)
            found = int((seen.status.get("endpoints") or {}).get(_PORTS.get(port, ""), 0))
            if found and await asyncio.to_thread(answers, found):
                break
            failed = seen.status.get("state") in ("failed", "suspended")
            if port not in _PORTS or failed or asyncio.get_running_loop().time() > deadline:
                raise Unreachable(f"Port {port} of RayCluster {name!r} does not answer.", "See its status; it may still be starting.")
            await asyncio.sleep(0.05)
        yield Endpoint(host="127.0.0.1", port=found, token=await asyncio.to_thread(self.store.token, Kind.CLUSTER, name))

    @asynccontextmanager
    async def reach_worker(self, name: str, ip: str, port: int) -> AsyncIterator[Endpoint]:
        if ip != LOOPBACK or not await asyncio.to_thread(answers, port):
            raise Unreachable(f"No worker of RayCluster {name!r} answers at {ip}:{port}.", "See its status; it may have ended.")
        yield Endpoint(host="127.0.0.1", port=port)

    def logs(self, name: str, node: str = "", *, kind: Kind = Kind.CLUSTER, follow: bool = False, tail: int = 200) -> AsyncIterator[str]:
        return logs.lines(self.store, kind, name, node, follow=follow, tail=tail)


def _token(secret: Json | None) -> str:
    if not secret:
        return ""
    if plain := (secret.get("stringData") or {}).get("auth_token"):
        return str(plain)
    encoded: Any = (secret.get("data") or {}).get("auth_token", "")
    return base64.b64decode(encoded).decode()


def _files(config_map: Json) -> dict[str, bytes]:
    texts = {key: str(value).encode() for key, value in (config_map.get("data") or {}).items()}
    return texts | {key: base64.b64decode(value) for key, value in (config_map.get("binaryData") or {}).items()}
