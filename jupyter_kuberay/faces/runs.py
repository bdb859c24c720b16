"""A cluster for as long as it is needed, and a notebook on it, as a person sees it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jupyter_kuberay.batch import Run, RunRecord, RunState, Step, run_now
from jupyter_kuberay.config import BACKEND_VARIABLE
from jupyter_kuberay.errors import Conflict, Failed, KubeRayError, NotFound
from jupyter_kuberay.faces.face import Face, Interrupted
from jupyter_kuberay.loop import run_sync
from jupyter_kuberay.manifest import read_cluster
from jupyter_kuberay.names import object_name
from jupyter_kuberay.observation import Kind

if TYPE_CHECKING:
    from jupyter_kuberay.client import Client
    from jupyter_kuberay.lease import Lease
    from jupyter_kuberay.spec import ClusterSpec


def short_name(beginning: str) -> str:
    """A new cluster's name that says what it is for, such as "demo-4f2a"."""
    return object_name(f"{object_name(beginning, max_length=40)}-{secrets.token_hex(2)}".replace("--", "-"))


def check_cluster(face: Face, name: str) -> None:
    """Raise `NotFound` or `Conflict` unless a notebook can run on it now."""
    status = run_sync(face.client.cluster(name))
    if not status.usable:
        from jupyter_kuberay.faces.view import brief

        cause = brief(status.cause.what) if status.cause else ""
        raise Conflict(f"Cluster {name!r} is {status.phase}. {cause}".rstrip(), f"Bring it up first: jupyter kuberay up {name}")


@contextmanager
def borrowed(face: Face, purpose: str, keep: bool, wanted: Callable[[str], ClusterSpec], timeout: float) -> Iterator[str]:
    """A new cluster while the context lasts, or, if it is to be kept, longer; taken down whatever happens, kill -9 included."""
    if keep:
        with _kept(face, wanted(short_name(purpose)), timeout) as name:
            yield name
        return
    lease = _lent(face, wanted(short_name(purpose)), purpose, timeout)
    try:
        yield lease.name
    except KeyboardInterrupt as interrupt:
        said = interrupt.message if isinstance(interrupt, Interrupted) else "Interrupted."
        raise Interrupted(f"{said} {_returned(face, lease)}") from None
    except BaseException:
        face.say(_returned(face, lease))
        raise
    else:
        _returned(face, lease)


@contextmanager
def _kept(face: Face, spec: ClusterSpec, timeout: float) -> Iterator[str]:
    from jupyter_kuberay.faces.commands import bring_up

    bring_up(face, spec, timeout)  # it cleans up after itself
    try:
        yield spec.name
    except KeyboardInterrupt as interrupt:
        said = interrupt.message if isinstance(interrupt, Interrupted) else "Interrupted."
        raise Interrupted(f"{said} {end(face, spec.name, Kind.CLUSTER, True)}") from None
    except BaseException:
        face.say(end(face, spec.name, Kind.CLUSTER, True))
        raise


def _lent(face: Face, spec: ClusterSpec, purpose: str, timeout: float) -> Lease:
    """A lease that is open; Ctrl-C waits until what was made is gone, and says so."""
    from jupyter_kuberay.lease import Lease

    for warning in spec.warnings():
        face.say(warning)
    lease = Lease(face.client, spec, purpose=purpose, timeout=timeout)
    try:
        with face.waiting(spec.name) as lease.progress:
            run_sync(lease.open())
    except KeyboardInterrupt:
        raise Interrupted(f"Interrupted. {_returned(face, lease, 'again; nothing of it is left')}") from None
    return lease


def _returned(face: Face, lease: Lease, how: str = "") -> str:
    """Give it back and wait until nothing is left; tells in a sentence what became of it."""
    name = lease.name or lease.job
    before = f"{lease.ended.message} " if lease.ended else ""
    try:
        with face.waiting(name) as told:
            told("Taking the cluster down.", 0.0)
            run_sync(lease.close())
    except (KeyboardInterrupt, KubeRayError):
        return f"{before}The cluster {name!r} may not be gone yet; it goes by itself within {lease.grace:.0f} s."
    return before or f"The cluster {name!r} was taken down{' ' * bool(how)}{how}."


def end(face: Face, name: str, kind: Kind, keep: bool) -> str:
    """Take it down and wait until nothing is left, unless it is to be kept; tells in one sentence what became of it."""
    what = "cluster" if kind is Kind.CLUSTER else "service"
    how = f"jupyter kuberay {'down' if kind is Kind.CLUSTER else 'unpublish'} {name}"
    if keep:
        return f"The {what} {name!r} is kept; take it down with: {how}"
    try:
        with face.waiting(name) as told:
            told(f"Taking the {what} down.", 0.0)
            run_sync(_gone(face.client, name, kind))
    except (KeyboardInterrupt, KubeRayError):
        return f"The {what} {name!r} may not be gone yet; take it down with: {how}"
    return f"The {what} {name!r} was taken down."


async def _gone(client: Client, name: str, kind: Kind) -> None:
    try:
        await client.down(name, kind=kind, wait=False)
    except NotFound:
        return
    await client.wait_gone(name, kind=kind)


def run_on(face: Face, run: Run, *, at_once: bool = False) -> RunRecord:
    """Run a notebook that is prepared, showing how far it is; raise what became of it unless it went well.

    Ctrl-C ends it after the cell that runs, and a second one (with ``at_once`` the first) at once.
    """
    title, last = run.request.source.stem, Step(-1, 0, "")

    def stopping(count: int) -> None:
        if at_once:
            run.stop()
        elif count == 1:
            face.say(f"{title} stops after this cell; Ctrl-C again interrupts it.")

    with face.steps(title) as step:

        def told(now: RunRecord) -> None:
            nonlocal last
            at = Step(now.done, now.cells, now.cell)
            if now.state is RunState.RUNNING and at != last and (now.cell or now.done == now.cells):
                last = at
                step(at)

        run.told = told
        done = run_now(run, stopping)
    if done.state is RunState.INTERRUPTED:
        raise Interrupted(f"Interrupted in {run.request.source.name}; what ran is in {run.request.output}.")
    if done.state is not RunState.SUCCEEDED:
        raise Failed(done.error, done.hint)
    return done


@contextmanager
def prepared(run: Run) -> Iterator[Run]:
    """A run whose output is claimed; one that then does not begin says why in its record."""
    run.prepare()
    try:
        yield run
    except BaseException as error:
        if not run.begun:
            run.give_up(error)
        raise


def cluster_facts(face: Face, name: str) -> dict[str, Any]:
    """What a run keeps of the cluster that it works on."""
    seen = run_sync(face.client.seen(name))
    spec = read_cluster(seen.resource)
    return {"spec": spec.model_dump(mode="json", exclude_defaults=True), "image": spec.image}


def kernel_environment(face: Face) -> dict[str, str]:
    """What a run's kernel has to know beside its cluster."""
    return {BACKEND_VARIABLE: face.client.backend.name}
