"""What each operation of `routes` does: plain JSON in, values out.

On the background loop. Bodies are read here, because reading them needs pydantic.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

from jupyter_kuberay import manifest, profiles, publishing
from jupyter_kuberay.address import service_if_there
from jupyter_kuberay.batch.records import RunRecord
from jupyter_kuberay.client import Client
from jupyter_kuberay.errors import Conflict, Forbidden, InvalidSpec, NotFound
from jupyter_kuberay.faces.health import examined
from jupyter_kuberay.faces.render import yaml_documents
from jupyter_kuberay.faces.server import bodies, openapi, runs
from jupyter_kuberay.faces.server.asking import ask
from jupyter_kuberay.faces.server.dashboards import Asked, Dashboards
from jupyter_kuberay.faces.server.feed import Feed, Status, told_problem, told_time
from jupyter_kuberay.faces.server.publications import Publications
from jupyter_kuberay.faces.server.trained import below, found, located
from jupyter_kuberay.observation import Bundle, Json, Kind, Observation
from jupyter_kuberay.publishing import Published
from jupyter_kuberay.rollout import Progress
from jupyter_kuberay.service import terms
from jupyter_kuberay.spec import ClusterSpec, JobSpec
from jupyter_kuberay.status import ClusterStatus, JobStatus, ServiceStatus, cluster_status, job_status, service_status

# Of a `NewRevision`, what is handed on as it is.
_SAID = (
    *("application", "route_prefix", "settings", "replicas", "min_replicas", "max_replicas", "target_ongoing_requests"),
    *("downscale_delay_s", "gpus", "registry", "despite_gates", "why", "metrics"),
)
_LONGEST_TAIL, _MOST_RUNS = 10_000, 1_000


class Rest:
    """All operations, over one client.

    Parameters
    ----------
    tell
        Called with each event of the feed.
    root
        The folder that the server's file browser shows.
    """

    def __init__(self, client: Client, tell: Callable[[Json], None], root: Path) -> None:
        self._client, self._root = client, root
        self._feed = Feed(client, self._mine, tell, root)
        self._publications = Publications(self._feed.published)
        self._user = ""
        self._dashboards = Dashboards(client, self._seen)

    # --- who ---

    async def _who(self) -> str:
        if not self._user:
            self._user = await asyncio.to_thread(lambda: self._client.user)  # it may have to ask over the network
        return self._user

    def _mine(self, status: Status) -> bool:
        """A shared namespace has others' things, too; what nobody's name is on was made by another tool."""
        return status.user in ("", self._user)

    async def _seen(self, name: str, kind: Kind) -> Observation:
        """What is this user's; anybody else's is not there."""
        await self._who()
        try:
            seen = await self._client.backend.get(kind, name)
        except NotFound:
            seen = None
        if seen is None or not self._mine(_JUDGES[kind](seen)):
            there = ", ".join(status.name for status in await self._all(kind))
            word = {Kind.CLUSTER: "cluster", Kind.SERVICE: "service", Kind.JOB: "job"}[kind]
            raise NotFound(f"There is no {word} {name!r}.", f"There are: {there}." if there else f"There is no {word} at all.")
        return seen

    async def _all(self, kind: Kind) -> list[Any]:
        """Without a question to the world where it is watched anyway."""
        await self._who()
        known = self._feed.statuses(kind)
        if known is not None:
            return known
        now = self._client.backend.now()
        return [status for seen in await self._client.backend.list(kind) if self._mine(status := _JUDGES[kind](seen, now))]

    def _judged(self, seen: Observation) -> Any:
        return _JUDGES[seen.kind](seen, self._client.backend.now())

    # --- what a page shows ---

    async def look(self, view: str, body: Json) -> bodies.Snapshot:
        shown = bodies.View(**body)
        user = await self._who()
        await self._feed.look(view, shown)
        standing = self._feed.standing
        problem = told_problem(standing.problem)
        return bodies.Snapshot(
            server=self._feed.server,
            seq=self._feed.seq,
            backend=self._client.backend.name,
            user=user,
            synced=standing.synced,
            problem=bodies.Problem(**problem) if problem else None,
            since=told_time(standing.since),
            clusters=tuple(self._feed.statuses(Kind.CLUSTER) or ()),
            services=tuple(self._feed.statuses(Kind.SERVICE) or ()),
            jobs=tuple(self._feed.statuses(Kind.JOB) or ()),
            usage=dict(self._feed.usage),
            traffic=dict(self._feed.traffic),
            publications=self._publications.all(),
            runs=self._feed.runs.all if shown.runs else None,
        )

    async def leave(self, view: str) -> None:
        self._feed.leave(view)

    async def unwatch(self) -> None:
        """End what is watched until somebody looks again; what is being published goes on."""
        await self._feed.close()

    async def profiles(self) -> list[bodies.Offer]:
        default = self._client.profile().name
        return [
            bodies.Offer(
                name=offer.name,
                title=offer.title,
                description=offer.description,
                default=offer.name == default,
                limits=offer.limits,
                form=profiles.form_schema(offer),
            )
            for offer in self._client.settings.offered()
        ]

    # --- clusters ---

    async def clusters(self) -> list[ClusterStatus]:
        return await self._all(Kind.CLUSTER)

    async def cluster(self, name: str) -> ClusterStatus:
        return cluster_status(await self._seen(name, Kind.CLUSTER), self._client.backend.now())

    async def create(self, body: Json) -> ClusterStatus:
        spec = await self._spec(body)
        bundle = manifest.cluster_bundle(spec)
        return cluster_status(await self._client.backend.create(bundle), self._client.backend.now())

    async def preview(self, body: Json) -> bodies.Preview:
        spec = await self._spec(body)
        return _preview(manifest.cluster_bundle(spec), spec)

    async def _spec(self, body: Json) -> ClusterSpec:
        await self._who()
        asked = bodies.NewCluster(**body)
        fields = {name: getattr(asked, name) for name in type(asked).model_fields if name not in ("name", "profile")}
        # Both may look at the machine, for GPUs and for versions.
        return await asyncio.to_thread(lambda: self._client.spec(self._client.request(asked.name, asked.profile, **fields)))

    async def manifest(self, name: str) -> bodies.Preview:
        spec = manifest.read_cluster((await self._seen(name, Kind.CLUSTER)).resource)
        return _preview(manifest.cluster_bundle(spec), spec)

    async def scale(self, name: str, body: Json) -> ClusterStatus:
        wanted = bodies.Scale(**body)
        await self._seen(name, Kind.CLUSTER)
        return await self._client.scale(name, wanted.replicas, wanted.group)

    async def suspend(self, name: str) -> ClusterStatus:
        await self._seen(name, Kind.CLUSTER)
        return await self._client.suspend(name)

    async def resume(self, name: str) -> ClusterStatus:
        await self._seen(name, Kind.CLUSTER)
        return await self._client.resume(name)

    async def delete(self, name: str) -> bodies.Begun:
        await self._seen(name, Kind.CLUSTER)
        await self._client.down(name, wait=False)
        return bodies.Begun(name=name, kind="cluster")

    async def dashboard(self, name: str, asked: Json) -> bodies.Dashboard:
        return await self._dashboards.opened(name, Asked(**asked))

    async def cluster_log(self, name: str, node: str, follow: bool, tail: int) -> AsyncIterator[str]:
        async with aclosing(await self._log(name, Kind.CLUSTER, node, follow, tail)) as lines:  # type: ignore[type-var]
            async for line in lines:
                yield line

    async def _log(self, name: str, kind: Kind, node: str, follow: bool, tail: int) -> AsyncIterator[str]:
        if not 0 <= tail <= _LONGEST_TAIL:
            raise InvalidSpec(f"tail {tail} is not between 0 and {_LONGEST_TAIL}.", "Ask for fewer lines.")
        await self._seen(name, kind)
        return self._client.logs(name, node, kind=kind, follow=follow, tail=tail)

    # --- services and jobs ---

    async def services(self) -> list[ServiceStatus]:
        return await self._all(Kind.SERVICE)

    async def service(self, name: str) -> ServiceStatus:
        return service_status(await self._seen(name, Kind.SERVICE), self._client.backend.now())

    async def unpublish(self, name: str, application: str = "") -> bodies.Begun:
        await self._seen(name, Kind.SERVICE)
        whole = await publishing.unpublish(self._client.backend, name, application=application, wait=False)
        return bodies.Begun(name=name, kind="service") if whole else bodies.Begun(name=application, kind="application")

    async def revisions(self, name: str, application: str = "") -> list[bodies.Revision]:
        await self._seen(name, Kind.SERVICE)
        return await publishing.revisions(self._client.backend, name, application=application)

    async def diff(self, name: str, before: int = 0, after: int = 0, application: str = "") -> bodies.Difference:
        await self._seen(name, Kind.SERVICE)
        return await publishing.diff(self._client.backend, name, before or None, after or None, application=application)

    async def publish(self, body: Json) -> bodies.Publication:
        asked = bodies.NewRevision(**body)
        await self._who()
        there = await service_if_there(self._client.backend, asked.name)
        if there is not None and not self._mine(service_status(there)):
            raise Conflict(f"There is a service {asked.name!r} already, and it is somebody else's.", "Choose another name.")
        where = await terms(self._client, asked.name, profile=asked.profile, workers=asked.workers)
        app, model = await asyncio.to_thread(located, self._root, asked.app, asked.model)
        gates = below(self._root, asked.gates) if asked.gates else None
        said = {name: getattr(asked, name) for name in _SAID}

        async def work(told: Progress) -> Published:
            return await publishing.publish(
                self._client.backend, asked.name, app=app, model=model, gates=gates, progress=told, **said, **where
            )

        return await self._publications.begin(asked.name, "publish", work)

    async def rollback(self, name: str, body: Json) -> bodies.Publication:
        asked = bodies.Rollback(**body)
        await self._seen(name, Kind.SERVICE)
        backend, who = self._client.backend, await self._who()

        async def work(told: Progress) -> Published:
            return await publishing.rollback(backend, name, asked.to, application=asked.application, who=who, why=asked.why, progress=told)

        return await self._publications.begin(name, "rollback", work)

    async def cancel_publication(self, name: str) -> None:
        await self._publications.cancel(name)

    async def try_service(self, name: str, body: Json) -> bodies.Reply:
        question = bodies.Question(**body)
        seen = await self._seen(name, Kind.SERVICE)
        if manifest.read_service(seen.resource).bearer:
            hint = "Call it from a notebook or a shell that has the token; the service's card has the command."
            raise Forbidden(f"Service {name!r} wants its callers to show a token, which this server does not read.", hint)
        return await ask(self._client.backend, name, question)

    async def models(self) -> list[bodies.Model]:
        return await asyncio.to_thread(found, self._root)

    async def jobs(self) -> list[JobStatus]:
        return await self._all(Kind.JOB)

    async def submit(self, body: Json) -> JobStatus:
        asked = bodies.NewJob(**body)
        user = await self._who()
        if asked.cluster and (asked.profile or asked.workers is not None):
            raise InvalidSpec(
                f"Job {asked.name!r} names cluster {asked.cluster!r} and what a cluster of its own is made from.", "Leave one of them out."
            )
        if asked.cluster:
            await self._seen(asked.cluster, Kind.CLUSTER)
            cluster: str | ClusterSpec = asked.cluster
        else:
            request = self._client.request
            cluster = await asyncio.to_thread(lambda: self._client.spec(request(asked.name, asked.profile, workers=asked.workers)))
        said = {name: getattr(asked, name) for name in ("name", "entrypoint", "time_limit", "retries", "runtime_env")}
        seen = await self._client.backend.create(manifest.job_bundle(JobSpec(cluster=cluster, user=user, **said)))
        return job_status(seen, self._client.backend.now())

    async def job(self, name: str) -> JobStatus:
        return job_status(await self._seen(name, Kind.JOB), self._client.backend.now())

    async def delete_job(self, name: str) -> bodies.Begun:
        await self._seen(name, Kind.JOB)
        await self._client.down(name, kind=Kind.JOB, wait=False)
        return bodies.Begun(name=name, kind="job")

    async def job_log(self, name: str, follow: bool, tail: int) -> AsyncIterator[str]:
        async with aclosing(await self._log(name, Kind.JOB, "", follow, tail)) as lines:  # type: ignore[type-var]
            async for line in lines:
                yield line

    # --- runs of notebooks ---

    async def runs(self, last: int) -> list[bodies.Run]:
        if not 1 <= last <= _MOST_RUNS:
            raise InvalidSpec(f"last {last} is not between 1 and {_MOST_RUNS}.", "Ask for fewer runs.")
        return await asyncio.to_thread(runs.newest, self._root, last)

    async def forget_run(self, id: str) -> None:
        await asyncio.to_thread(runs.forget, lambda record: record.id == id, f"run {id[:200]!r}")

    async def forget_runs(self, group: str, folder: str = "") -> None:
        if not group:
            raise InvalidSpec("No group is named.", "Say which sweep or pipeline: ?group=NAME.")

        def meant(record: RunRecord) -> bool:
            return record.group == group and folder in ("", record.output.rpartition("/")[0])

        await asyncio.to_thread(runs.forget, meant, f"run of {group[:200]!r}")

    # --- the rest ---

    async def doctor(self) -> tuple[bodies.Finding, ...]:
        return await examined(self._client)

    async def openapi(self) -> Json:
        return openapi.description()

    async def close(self) -> None:
        """Let go of what was opened, and undo what is half done."""
        await self._publications.close()
        await self._dashboards.close()
        await self._feed.close()
        await self._client.close()


_JUDGES: dict[Kind, Callable[..., Any]] = {Kind.CLUSTER: cluster_status, Kind.SERVICE: service_status, Kind.JOB: job_status}


def _preview(bundle: Bundle, spec: ClusterSpec) -> bodies.Preview:
    """Without the Secret: a page shows it, and whoever reads over a shoulder."""
    return bodies.Preview(yaml=yaml_documents((*bundle.config_maps, bundle.resource)), warnings=tuple(spec.warnings()))
