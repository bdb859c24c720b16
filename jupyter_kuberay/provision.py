"""Asks a cluster what it has, and gives it what it lacks and a function needs."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_kuberay import modules, remote
from jupyter_kuberay.errors import KubeRayError

if TYPE_CHECKING:
    from jupyter_kuberay.attach import Attachment


def runtime_env(attachment: Attachment, function: Callable[..., Any], *, env: Mapping[str, str], install: bool) -> dict[str, Any]:
    """What Ray has to prepare so that ``function`` can run; empty where the cluster has it all.

    An environment costs the start of a process once (2 s), so none is asked for without need.
    """
    if attachment.same:
        return {"env_vars": dict(env)} if env else {}
    needs = modules.needs_of(function)
    places = {name: place for name in needs.own if (place := modules.own_place(name)) is not None}
    there = inventory(attachment, {**dict.fromkeys(needs.installed), **places})
    lacking = {name for name in needs.installed if there[name] is None}
    if lacking and not install:
        raise modules.MissingPackages(attachment.cluster, lacking)
    along = {name: place for name, place in places.items() if there[name] != remote.digest(place)}
    prepared: dict[str, Any] = {}
    if along:
        prepared["py_modules"] = [_kept(*modules.archive(along))]
    if env:
        prepared["env_vars"] = dict(env)
    if lacking:
        prepared["pip"] = modules.distributions(lacking)
    return prepared


def missing(attachment: Attachment, names: Iterable[str]) -> list[str]:
    """Which of ``names`` the cluster lacks; without names, of what the notebook has imported and is not its own."""
    asked = {name.partition(".")[0] for name in names} or {
        value.__name__.partition(".")[0] for value in vars(sys.modules["__main__"]).values() if isinstance(value, types.ModuleType)
    }
    asked = {name for name in asked if name not in sys.stdlib_module_names and modules.own_place(name) is None}
    there = inventory(attachment, dict.fromkeys(asked))
    return sorted(name for name in asked if there[name] is None)


def inventory(attachment: Attachment, places: Mapping[str, Path | None]) -> dict[str, str | None]:
    """What the cluster has of the modules ``places``, as `remote.inventory` tells it; those with a place are compared.

    Asked once for each module: what is there stays there for as long as the cluster lives.
    """
    unknown = [name for name in places if attachment.inventory.get(name) is None]
    if unknown:
        import ray

        remote.by_value()
        compared = [name for name in unknown if places[name] is not None]
        task = ray.remote(remote.inventory).options(num_cpus=0, max_retries=3)
        try:
            attachment.inventory.update(ray.get(task.remote(unknown, compared)))
        except ConnectionError as error:
            attachment.check()
            raise KubeRayError("The cluster could not be asked what it has.", "Try again.") from error
    return {name: attachment.inventory[name] for name in places}


def _kept(uri: str, data: bytes) -> str:
    """Have the cluster keep an archive for as long as something uses it."""
    import ray

    remote.by_value()
    keep = ray.remote(remote.keep).options(num_cpus=0, max_retries=3)
    if not ray.get(keep.remote(uri)):
        ray.get(keep.remote(uri, data))
    return uri
