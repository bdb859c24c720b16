"""What `run` and `pipeline` were asked for, done: here or in the cluster, on a cluster that is there or a borrowed one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from jupyter_kuberay.batch import Place, Run, RunRequest, RunState
from jupyter_kuberay.batch.many import Runs
from jupyter_kuberay.batch.sent import Sent
from jupyter_kuberay.errors import Failed
from jupyter_kuberay.faces import batches, carrying, sending
from jupyter_kuberay.faces.answers import NotebookRun
from jupyter_kuberay.faces.commands import wanted
from jupyter_kuberay.faces.face import Face, Interrupted
from jupyter_kuberay.faces.runs import borrowed, check_cluster, cluster_facts, kernel_environment, prepared, run_on
from jupyter_kuberay.spec import ClusterSpec


@dataclass(frozen=True)
class Where:
    """The options that say where and how notebooks run."""

    cluster: str = ""
    profile: str = ""
    workers: int | None = None
    gpus: int | None = None
    cpu: str | None = None
    memory: str | None = None
    image: str | None = None
    in_cluster: bool = False
    no_wait: bool = False
    environment: tuple[tuple[str, str], ...] = ()
    no_attach: bool = False
    cell_timeout: float | None = None
    timeout: float = 300.0

    def wanted(self, face: Face, name: str) -> ClusterSpec:
        """The cluster that is borrowed."""
        fields = {key: getattr(self, key) for key in ("workers", "gpus", "cpu", "memory", "image")}
        return wanted(face.client, name, self.profile, **fields)


class Asked:
    """A notebook, or a pipeline's file, and where it is to run."""

    def __init__(self, face: Face, where: Where, source: Place, parameters: Mapping[str, Any], keep: bool) -> None:
        self._face, self._where, self._source = face, where, source
        self._parameters, self._keep = parameters, keep

    # --- once ---

    def once(self, output: Place) -> Any:
        """One run."""
        face, where = self._face, self._where
        request = replace(self._request(), output=output)
        if where.in_cluster:
            carrying.check_output(output, self._seen())
        with prepared(Run(request)) as run:
            if where.in_cluster:
                return self._send_run(run)
            with self._cluster() as facts:
                run.on(facts["cluster"], spec=facts["spec"], image=facts["image"])
                done = run_on(face, run)
        return NotebookRun.of(done, kept=bool(where.cluster) or self._keep)

    def _send_run(self, run: Run) -> Any:
        face = self._face
        job, (cluster, facts) = sending.job_name(self._source), self._target()
        notebook, files = carrying.carried_notebook(self._source)
        record = run.record
        sent = replace(self._sent("run", notebook, job, facts), output=record.output, parameters=record.parameters, id=record.id)
        record = run.hand_over(job, facts.get("cluster", ""))
        try:
            sending.send(face, sent, files, cluster, dict(self._where.environment))
        except BaseException as error:
            run.give_up(error)
            raise
        if self._where.no_wait:
            face.say(f"It runs as job {job!r}; see {face.program} runs, or {face.program} job {job}.")
            return NotebookRun.of(record, kept=bool(self._where.cluster))
        done = sending.follow_run(face, record)
        if done.state is RunState.INTERRUPTED:
            raise Interrupted(f"It was stopped; what ran is in {done.output}.")
        if done.state is not RunState.SUCCEEDED:
            raise Failed(done.error, done.hint)
        return NotebookRun.of(done, kept=bool(self._where.cluster))

    # --- many ---

    def sweep(self, folder: Place, axes: tuple[str, ...], at_once: int, *, own: bool, resume: bool) -> Any:
        """One run a point."""
        face, where = self._face, self._where
        if where.in_cluster:
            carrying.check_output(folder, self._seen())
        sweeping = batches.plan(self._request(), folder, axes, resume=resume)
        if not sweeping.left:
            return batches.sweep_on(face, sweeping, at_once, Runs())
        if where.in_cluster:
            job, (cluster, facts) = sending.job_name(self._source), self._target()
            notebook, files = carrying.carried_notebook(self._source)
            points = [asdict(point) for point in sweeping.points]
            sent = replace(self._sent("sweep", notebook, job, facts), points=points, group=folder.name, resume=resume)
            sent = replace(sent, output=folder.url, at_once=at_once)
            return sending.follow_sweep(face, job, sweeping) if self._sent_off(sent, files, cluster) else None
        if own:
            runs = Runs()
            borrowing = batches.Borrowing(face, runs, lambda name: where.wanted(face, name), self._source.stem, where.timeout)
            return batches.sweep_on(face, sweeping, at_once, runs, borrowing)
        with self._cluster() as facts:
            return batches.sweep_on(face, replace(sweeping, one=replace(sweeping.one, **facts)), at_once, Runs())

    def pipeline(self, output: str, at_once: int, force: bool | tuple[str, ...]) -> Any:
        """The steps that are missing or changed."""
        from jupyter_kuberay.batch.opening import open_pipeline

        face, where = self._face, self._where
        opened = open_pipeline(self._source.url, self._parameters, output)
        file = self._source.child("pipeline.yaml") if self._source.path is not None and self._source.path.is_dir() else self._source
        if where.in_cluster:
            seen = self._seen()
            carrying.check_output(Place.of(opened.output), seen)
            job, (cluster, facts) = sending.job_name(Place(opened.pipeline.name)), self._target()
            name, files, changed = carrying.carried_pipeline(opened, file, seen)
            sent = replace(self._sent("pipeline", name, job, facts), called=file.url, output=opened.output, force=force or False)
            sent = replace(sent, at_once=at_once, parameters={**sent.parameters, **changed})
            return sending.follow_pipeline(face, job, opened) if self._sent_off(sent, files, cluster) else None
        runs, one = Runs(), self._request()
        if where.cluster:
            check_cluster(face, where.cluster)
            one = replace(one, cluster=where.cluster, **cluster_facts(face, where.cluster))
            return batches.pipeline_on(face, opened, one, at_once, force or False, runs, None)
        borrowing = batches.Borrowing(face, runs, lambda name: where.wanted(face, name), opened.pipeline.name, where.timeout)
        return batches.pipeline_on(face, opened, one, at_once, force or False, runs, borrowing)

    def _sent_off(self, sent: Sent, files: Mapping[str, bytes], cluster: str | ClusterSpec) -> bool:
        """Send it; whether it is to be followed."""
        face = self._face
        sending.send(face, sent, files, cluster, dict(self._where.environment))
        if self._where.no_wait:
            face.say(f"It runs as job {sent.job!r}; see {face.program} runs {sent.output}, or {face.program} job {sent.job}.")
        return not self._where.no_wait

    # --- both ---

    def _request(self) -> RunRequest:
        where = self._where
        return RunRequest(
            self._source,
            self._source,
            self._parameters,
            environment=kernel_environment(self._face),
            attach=not where.no_attach,
            cell_timeout=where.cell_timeout,
            user=self._face.client.user,
        )

    def _sent(self, kind: str, notebook: str, job: str, facts: Mapping[str, Any]) -> Sent:
        return Sent(
            kind,
            notebook,
            self._source.url,
            "",
            dict(self._parameters),
            job=job,
            user=self._face.client.user,
            cell_timeout=self._where.cell_timeout,
            **facts,
        )

    def _target(self) -> tuple[str | ClusterSpec, dict[str, Any]]:
        """Where a job runs: the name of a cluster that is there, or the spec of its own; and what is kept of it."""
        face, where = self._face, self._where
        if where.cluster:
            check_cluster(face, where.cluster)
            return where.cluster, {"cluster": where.cluster, **cluster_facts(face, where.cluster)}
        spec = face.client.spec(where.wanted(face, sending.job_name(self._source)))
        return spec, {"spec": spec.model_dump(mode="json", exclude_defaults=True), "image": spec.image}

    def _seen(self) -> Sequence[str]:
        """Folders that the cluster has at the same path as this machine."""
        from jupyter_kuberay.shipment import shared_folders

        if self._face.client.backend.name == "local":
            return carrying.EVERYTHING
        return shared_folders(ClusterSpec.model_validate(self._target()[1]["spec"]))

    @contextmanager
    def _cluster(self) -> Iterator[dict[str, Any]]:
        """The one that is named, or a borrowed one while the context lasts."""
        face, where = self._face, self._where
        if where.cluster:
            check_cluster(face, where.cluster)
            yield {"cluster": where.cluster, **cluster_facts(face, where.cluster)}
            return
        with borrowed(face, self._source.stem, self._keep, lambda name: where.wanted(face, name), where.timeout) as name:
            yield {"cluster": name, **cluster_facts(face, name)}
