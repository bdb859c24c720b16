"""What a page can ask for: operations by name, each done on the background loop; plain JSON in and out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pydantic_core import to_jsonable_python

from jupyter_kuberay.errors import InvalidSpec, KubeRayError
from jupyter_kuberay.faces.widget.world import World

_ATTACHES_S = 30.0

Answer = dict[str, Any]


async def answer(world: World, operation: str, arguments: Mapping[str, Any]) -> Answer:
    """``{"value": …}``, or ``{"problem": …}`` with message, hint and kind of what stands in the way; never raises."""
    try:
        if operation not in _OPERATIONS:
            raise InvalidSpec(f"There is no operation {operation!r}.", "Load the page anew.")
        return {"value": to_jsonable_python(await _OPERATIONS[operation](world, **arguments))}
    except KubeRayError as error:
        return {"problem": {"message": error.message, "hint": error.hint, "kind": type(error).__name__}}
    except Exception as error:
        logging.getLogger(__name__).exception("What a widget asked for, %s, ended in what nobody has foreseen.", operation)
        problem = {"message": f"It ended unexpectedly: {error!r}", "hint": "The kernel's log tells more.", "kind": "Unexpected"}
        return {"problem": problem}


async def _attach(world: World, name: str, replace: bool = False) -> None:
    from jupyter_kuberay.cluster import Cluster

    try:
        # Ray's connection is the process's, whichever thread opens it; opening it takes a second.
        await asyncio.to_thread(Cluster(name, world.client).attach, timeout=_ATTACHES_S, replace=replace)
    finally:
        world.attached()


async def _detach(world: World) -> None:
    from jupyter_kuberay.attach import detach

    await asyncio.to_thread(detach)
    world.attached()


async def _delete(world: World, name: str) -> Any:
    if world.told["attached"] == name:
        await _detach(world)
    return await world.rest.delete(name)


async def _unpublish_application(world: World, name: str, application: str) -> Any:
    return await world.rest.unpublish(name, application=application)


def _named(method: str) -> Callable[..., Awaitable[Any]]:
    """An operation of `Rest` on what is named."""

    async def act(world: World, name: str) -> Any:
        return await getattr(world.rest, method)(name)

    return act


def _told(method: str) -> Callable[..., Awaitable[Any]]:
    """An operation of `Rest` with a body."""

    async def act(world: World, body: dict[str, Any]) -> Any:
        return await getattr(world.rest, method)(body)

    return act


def _named_and_told(method: str) -> Callable[..., Awaitable[Any]]:
    async def act(world: World, name: str, body: dict[str, Any]) -> Any:
        return await getattr(world.rest, method)(name, body)

    return act


def _plain(method: str) -> Callable[..., Awaitable[Any]]:
    async def act(world: World) -> Any:
        return await getattr(world.rest, method)()

    return act


_OPERATIONS: dict[str, Callable[..., Awaitable[Any]]] = {
    "attach": _attach,
    "detach": _detach,
    "create": _told("create"),
    "preview": _told("preview"),
    "scale": _named_and_told("scale"),
    "suspend": _named("suspend"),
    "resume": _named("resume"),
    "delete": _delete,
    "profiles": _plain("profiles"),
    "models": _plain("models"),
    "publish": _told("publish"),
    "cancel": _named("cancel_publication"),
    "rollback": _named_and_told("rollback"),
    "unpublish": _named("unpublish"),
    "unpublish_application": _unpublish_application,
    "try": _named_and_told("try_service"),
}
