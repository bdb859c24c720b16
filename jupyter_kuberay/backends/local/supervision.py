"""Who keeps what: finding, starting, and replacing the supervisor of a resource.

A root resource (a RayCluster of its own, a RayService, a RayJob that brings its cluster) has one
supervisor process. It holds a lock in the root's folder, which the kernel lets go of when the
process ends, however it ends: so whether it lives is never a matter of process ids.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from jupyter_kuberay.backends.local.files import is_held, locked, read_json
from jupyter_kuberay.backends.local.nodes import inherited
from jupyter_kuberay.backends.local.processes import KEEPER, MARK, Birth, boot_id, end_now
from jupyter_kuberay.backends.local.store import Json, Kept, Store, event, owners
from jupyter_kuberay.backends.local.told import with_condition
from jupyter_kuberay.errors import KubeRayError, NotFound, Refused

LOCK, RECORD = "supervisor.lock", "supervisor.json"
TAKEN = 3  # exit code of a supervisor that finds another one
DIED = "SupervisorDied"
_ENDED_JOB = ("Complete", "Failed", "ValidationFailed")

Root = tuple[str, str]  # kind and name


def root_of(store: Store, kept: Kept) -> Root | None:
    """Whose supervisor keeps this resource; None when nobody needs to."""
    if kept.kind == "RayService":
        return kept.kind, kept.name
    if kept.kind == "RayCluster":
        owner = next((owner for owner in owners(kept.resource) if owner.get("controller")), None)
        if owner and (found := store.find(owner["kind"], owner["name"])) and found.uid == owner["uid"]:
            return found.kind, found.name
        return kept.kind, kept.name
    if kept.kind == "RayJob":
        selected = cluster_of_job(kept.resource)
        if not selected:
            return kept.kind, kept.name
        cluster = store.find("RayCluster", selected)
        return root_of(store, cluster) if cluster else None
    return None


def cluster_of_job(resource: Json) -> str:
    """The cluster that a RayJob chose; "" when it brings its own."""
    selector = resource["spec"].get("clusterSelector") or {}
    return str(selector.get("ray.io/cluster") or "")


def born(folder: Path) -> Birth | None:
    """The supervisor that was last seen at work here, alive or not."""
    return Birth.read(read_json(folder / RECORD))


def alive(folder: Path) -> bool:
    """Whether a supervisor keeps the root resource in ``folder``."""
    return is_held(folder / LOCK)


def start(store: Store, root: Root) -> None:
    """See to it that a supervisor keeps ``root``. Returns when it does, or when ``root`` went meanwhile. Takes a tenth of a second.

    Raises `Refused` when it cannot be started.
    """
    folder = store.folder(*root)
    if alive(folder):
        return
    # -P: a file named like a module in the working directory must not be taken for it.
    command = [sys.executable, "-P", "-m", "jupyter_kuberay.backends.local.supervisor", str(store.data_dir), *root]
    try:
        with (folder / "logs" / "supervisor.log").open("ab") as log:
            streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            environment = {**inherited(os.environ), MARK: KEEPER}
            done = subprocess.run(command, env=environment, cwd="/", start_new_session=True, check=False, **streams)  # type: ignore[call-overload]
    except OSError as error:
        if _goes(store, root):
            return
        raise Refused(f"The supervisor of {root[1]!r} cannot be started: {error}.", "See that the data directory is writable.") from error
    if done.returncode not in (0, TAKEN) and not _goes(store, root):
        raise Refused(f"The supervisor of {root[1]!r} ended at once.", f"Its last words are in {folder / 'logs' / 'supervisor.log'}.")


def _goes(store: Store, root: Root) -> bool:
    kept = store.find(*root)
    return kept is None or kept.deleting


def look_after(store: Store, root: Root) -> bool:
    """Notice that the supervisor of ``root`` died, end what it left, and say so. True when there was something to do."""
    folder = store.folder(*root)
    if not (folder / RECORD).exists() or alive(folder):
        return False
    with suppress(FileNotFoundError, KubeRayError), locked(folder / "recovery.lock"):
        birth = born(folder)
        if birth is None or alive(folder):
            return False
        kept = store.read(*root)
        _clean_up(store, kept)
        if kept.deleting:
            remove(store, kept)
        else:
            _tell_death(store, kept, birth)
            (folder / RECORD).unlink(missing_ok=True)
        return True
    return False


def _clean_up(store: Store, root: Kept) -> None:
    """End every process of ``root`` and of what it owns, and remove their temporary files. Only what is provably theirs."""
    for kept in (root, *store.owned_by(root.uid)):
        end_now(kept.uid)
        shutil.rmtree(temporary(store, kept.uid), ignore_errors=True)


def temporary(store: Store, uid: str) -> Path:
    """Where Ray keeps the temporary files of the cluster with ``uid``."""
    return store.bell.folder / uid[:6]


def _tell_death(store: Store, root: Kept, birth: Birth) -> None:
    if birth.boot != boot_id():
        message = "The machine was started again, and what ran on it is gone."
    else:
        message = f"Its supervisor (process {birth.pid}) ended unexpectedly; what it had started was ended too."
    told = [root, *store.owned_by(root.uid)]
    clusters = {kept.name for kept in told if kept.kind == "RayCluster"}
    told += [job for job in store.all("RayJob") if cluster_of_job(job.resource) in clusters]
    for kept in told:
        if kept.kind == "ControllerRevision" or kept.status.get("state") == "suspended":
            continue
        status = after_death(kept, message)
        if status != kept.status:
            nodes = [{**node, "ready": False, "reason": DIED, "message": message} for node in kept.nodes]
            store.write_status(kept.kind, kept.name, status, nodes, [event(DIED, message, warning=True)])


def after_death(kept: Kept, message: str) -> Json:
    """The status of a resource whose supervisor is gone. Pure but for the time."""
    status, generation = kept.status, kept.resource["metadata"]["generation"]
    if kept.kind == "RayJob":
        if status.get("jobDeploymentStatus") in _ENDED_JOB:
            return status
        return {**status, "jobStatus": "FAILED", "jobDeploymentStatus": "Failed", "reason": DIED, "message": message}
    if kept.kind == "RayService":
        return {**with_condition(status, generation, "Ready", False, DIED, message), "serviceStatus": "", "numServeEndpoints": 0}
    gone = {key: value for key, value in status.items() if key not in ("endpoints", "head")}
    gone |= {"state": "failed", "reason": message, "readyWorkerReplicas": 0, "availableWorkerReplicas": 0}
    return with_condition(gone, generation, "HeadPodReady", False, DIED, message)


def remove(store: Store, kept: Kept) -> None:
    """Forget a resource that nobody keeps, and all that it owns."""
    _clean_up(store, kept)
    for owned in store.owned_by(kept.uid):
        with suppress(NotFound):
            remove(store, owned)
    store.remove(kept.kind, kept.name)
    store.bell.leave()
