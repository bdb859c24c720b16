"""The commands about clusters, defined once: the command line and the magics run the same objects.

A callback returns a value and prints nothing; `Face` shows what happens
meanwhile. Imports of what is heavy are inside, so that ``--help`` is quick.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import update_wrapper
from typing import TYPE_CHECKING, Any

import click

from jupyter_kuberay.errors import Conflict, InvalidSpec, KubeRayError, NotFound
from jupyter_kuberay.faces import options
from jupyter_kuberay.faces.face import Face, Interrupted
from jupyter_kuberay.loop import run_sync

if TYPE_CHECKING:
    from jupyter_kuberay.client import Client
    from jupyter_kuberay.faces import answers
    from jupyter_kuberay.spec import ClusterSpec
    from jupyter_kuberay.status import ClusterStatus

SECTIONS = ("Clusters", "Notebooks and models", "Everything else")


class Sections(click.Group):
    """A group whose help lists commands by what they are about, in the order of their definition."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section in SECTIONS:
            rows = [
                (name, command.get_short_help_str(limit=120))
                for name, command in self.commands.items()
                if getattr(command, "section", SECTIONS[-1]) == section
            ]
            if rows:
                with formatter.section(section):
                    formatter.write_dl(rows)


@click.group(
    cls=Sections,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done; 1 refused by the world; 2 wrong use; 130 interrupted.",
)
@click.version_option(package_name="jupyter-kuberay", message="jupyter-kuberay %(version)s")
def kuberay() -> None:
    """A Ray cluster of your own, notebooks on it, and the model published from it."""


def command(section: str, shows: bool = True) -> Callable[[Callable[..., Any]], click.Command]:
    """A command of `kuberay` whose callback gets the face first, with the options that all have."""

    def decorate(callback: Callable[..., Any]) -> click.Command:
        @click.pass_obj
        def with_face(face: Face, /, *args: Any, **kwargs: Any) -> Any:
            return callback(face, *args, **kwargs)

        made = click.command(callback.__name__.rstrip("_"))(update_wrapper(with_face, callback))
        made.params += options.common(shows)
        made.section = section  # type: ignore[attr-defined]
        kuberay.add_command(made)
        return made

    return decorate


def wanted(client: Client, name: str, profile: str, **fields: Any) -> ClusterSpec:
    """The spec that was asked for; a profile that does not exist is the asker's mistake."""
    try:
        spec = client.request(name, profile, **fields)
    except NotFound as error:
        raise InvalidSpec(error.message, error.hint) from None
    return client.spec(spec)


# --- clusters ------------------------------------------------------------


@command("Clusters")
@click.argument("name")
@options.request
@options.waits(300, "it is ready")
def up(face: Face, name: str, profile: str, no_wait: bool, timeout: float, **fields: Any) -> Any:
    """Bring a cluster up, and wait until it is ready.

    One that is up already is taken as it is; with another spec it is refused.
    A suspended or failed one is started again. Ctrl-C removes what was made.
    """
    return face.cluster(bring_up(face, wanted(face.client, name, profile, **fields), timeout, wait=not no_wait))


def bring_up(face: Face, spec: ClusterSpec, timeout: float, *, wait: bool = True) -> ClusterStatus:
    """`Client.up` as a person sees it; Ctrl-C waits until what was made is gone, and says so."""
    for warning in spec.warnings():
        face.say(warning)
    try:
        with face.waiting(spec.name) as told:
            return run_sync(face.client.up(spec, wait=wait, timeout=timeout, progress=told))
    except KeyboardInterrupt:
        raise Interrupted(_undone(face, spec.name)) from None


def _undone(face: Face, name: str) -> str:
    """After Ctrl-C: see the cluster off if it is going, and tell what became of it."""
    from jupyter_kuberay.status import Phase

    client = face.client
    try:
        if run_sync(client.cluster(name)).phase is not Phase.STOPPING:
            return f"Interrupted. Cluster {name!r} was there before and stays."
        with face.waiting(name) as told:
            told("Taking it down again.", 0.0)
            run_sync(client.wait_gone(name))
    except NotFound:
        pass
    except (KeyboardInterrupt, KubeRayError):
        return f"Interrupted. Cluster {name!r} may not be gone yet; take it down: jupyter kuberay down {name}"
    return f"Interrupted. Cluster {name!r} was taken down again; nothing of it is left."


@command("Clusters", shows=True)
@click.option("--all", "everything", is_flag=True, help="Also those that belong to a service or a job.")
def list_(face: Face, everything: bool) -> Any:
    """List the clusters that there are."""
    from jupyter_kuberay.faces.answers import Listing

    found = run_sync(face.client.clusters())
    return Listing("cluster", [one for one in found if everything or not one.owner])


@command("Clusters")
@click.argument("name", default="", shell_complete=options.cluster_names)
def status(face: Face, name: str) -> Any:
    """Show how a cluster is; if it is not well, why, and what helps.

    Without a NAME: the only cluster that there is.
    """
    return run_sync(face.client.cluster(name or only(face)))


@command("Clusters")
@click.argument("name", shell_complete=options.cluster_names)
@click.argument("workers", type=int)
@click.option("--group", default="", metavar="NAME", help="Which worker group; default: the only one.")
@options.waits(300, "they are there")
def scale(face: Face, name: str, workers: int, group: str, no_wait: bool, timeout: float) -> Any:
    """Ask for another number of workers, and wait until they are there."""
    client = face.client
    run_sync(client.scale(name, workers, group))
    return run_sync(client.cluster(name)) if no_wait else _ready(face, name, timeout, f"It goes on towards {workers} workers.")


@command("Clusters", shows=False)
@click.argument("name", default="", shell_complete=options.cluster_names)
@click.option("--node", default="", metavar="NAME", help="Which node (see status); default: the head.")
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines as they come.")
@click.option("-n", "--tail", type=click.IntRange(min=0), default=200, show_default=True, metavar="N", help="How many old lines.")
def logs(face: Face, name: str, node: str, follow: bool, tail: int) -> None:
    """Print the log of a cluster's node."""
    name = name or only(face)

    async def show() -> None:
        await face.client.seen(name)
        async for line in face.client.logs(name, node, follow=follow, tail=tail):
            face.line(line)

    run_sync(show())


@command("Clusters")
@click.argument("name", default="", shell_complete=options.cluster_names)
@click.option("--replace", is_flag=True, help="Let go of another cluster that is attached, instead of refusing.")
@options.waits(300, "it is usable")
def attach(face: Face, name: str, replace: bool, no_wait: bool, timeout: float) -> Any:
    """Attach a notebook to a cluster.

    In a notebook (%kuberay attach) this kernel is attached; on the command line
    it prints what to paste. Without a NAME: the only cluster that there is, or,
    in a notebook, a list of those to choose from.
    """
    client = face.client
    if not name:
        there = [one for one in run_sync(client.clusters()) if not one.owner]
        if len(there) > 1 and (offer := face.offer(there, f"Attach one of them: {face.program} attach NAME")) is not None:
            return offer
        name = face.names(there, "cluster").name
    run_sync(client.seen(name))
    if not no_wait:
        with face.waiting(name) as told:
            run_sync(client.wait(name, until=lambda now: now.usable, timeout=timeout, progress=told))
    return face.attach(name, timeout, replace=replace)


@command("Clusters", shows=False)
def detach(face: Face) -> None:
    """Let a notebook go of the cluster that it is attached to.

    The cluster goes on; what runs on it for this notebook ends. Attached to
    nothing, it does nothing.
    """
    face.detach()


@command("Everything else", shows=False)
@click.argument("state", type=click.Choice(["on", "off"]))
def progress(face: Face, state: str) -> None:
    """Show what Ray tasks do beside each cell of a notebook that takes longer than 2 s, or no longer."""
    face.progress(state == "on")


@command("Clusters")
@click.argument("name", shell_complete=options.cluster_names)
@options.waits(60, "its processes have ended")
def suspend(face: Face, name: str, no_wait: bool, timeout: float) -> Any:
    """End a cluster's processes; resume brings it back."""
    from jupyter_kuberay.status import Phase

    status = run_sync(face.client.suspend(name))
    if no_wait:
        return status
    with face.waiting(name) as told:
        return run_sync(face.client.wait(name, until=lambda now: now.phase is Phase.SUSPENDED, timeout=timeout, progress=told))


@command("Clusters")
@click.argument("name", shell_complete=options.cluster_names)
@options.waits(300, "it is ready")
def resume(face: Face, name: str, no_wait: bool, timeout: float) -> Any:
    """Start a suspended cluster again."""
    status = run_sync(face.client.resume(name))
    return status if no_wait else _ready(face, name, timeout, "It goes on starting.")


def _ready(face: Face, name: str, timeout: float, otherwise: str) -> ClusterStatus:
    try:
        with face.waiting(name) as told:
            return run_sync(face.client.wait(name, timeout=timeout, progress=told))
    except KeyboardInterrupt:
        raise Interrupted(f"Interrupted. {otherwise}") from None


@command("Clusters")
@click.argument("names", nargs=-1, metavar="NAME...", shell_complete=options.cluster_names)
@click.option("--all", "everything", is_flag=True, help="All clusters that are not a service's or a job's.")
@options.yes
@options.waits(60, "nothing of it is left")
def down(face: Face, names: tuple[str, ...], everything: bool, yes: bool, no_wait: bool, timeout: float) -> Any:
    """Take clusters down, with all that they hold."""
    from jupyter_kuberay.faces.answers import Listing, Removed

    client = face.client
    if everything:
        names = tuple(one.name for one in run_sync(client.clusters()) if not one.owner)
    elif not names:
        names = (only(face),)
    for name in names:
        run_sync(_may_go(client, name))
    listed = ", ".join(names)
    if names and not yes and not face.ask(f"Take down {listed}? What runs there, and what is in its memory, is lost."):
        raise Interrupted("Nothing was taken down.")
    gone: Sequence[answers.Removed] = []
    for name in names:
        try:
            with face.waiting(name) as told:
                told("Ending its processes.", 0.0)
                run_sync(client.down(name, wait=not no_wait, timeout=timeout))
        except KeyboardInterrupt:
            raise Interrupted(f"Interrupted. Cluster {name!r} goes on ending.") from None
        gone = [*gone, Removed(name=name, kind="RayCluster", gone=not no_wait)]
    return Listing("removed", gone)


async def _may_go(client: Client, name: str) -> None:
    from jupyter_kuberay.status import cluster_status

    owner = cluster_status(await client.seen(name)).owner
    if owner:
        raise Conflict(f"Cluster {name!r} belongs to {owner!r}.", f"Take that down instead: jupyter kuberay unpublish {owner}.")


def only(face: Face) -> str:
    """The name of the only cluster, or an error that lists those that there are."""
    return str(face.names([one for one in run_sync(face.client.clusters()) if not one.owner], "cluster").name)


@command("Clusters")
@click.argument("name", shell_complete=options.cluster_names)
@options.request
def manifest(face: Face, name: str, profile: str, **fields: Any) -> Any:
    """Print a cluster's Kubernetes objects, for kubectl create -f.

    With options: those that `up` would make. Without, of a cluster or service
    that is there: its own.
    """
    from jupyter_kuberay.faces.answers import Manifest

    client = face.client
    asked = profile or any(value is not None for value in fields.values())
    found = None if asked else run_sync(_bundle(client, name))
    return Manifest(found or client.manifest(wanted(client, name, profile, **fields)))


async def _bundle(client: Client, name: str) -> Any:
    from jupyter_kuberay import manifest as manifests
    from jupyter_kuberay.observation import Kind

    for kind in (Kind.CLUSTER, Kind.SERVICE):
        try:
            resource = (await client.backend.get(kind, name)).resource
        except NotFound:
            continue
        if kind is Kind.CLUSTER:
            return manifests.cluster_bundle(manifests.read_cluster(resource))
        return manifests.service_bundle(manifests.read_service(resource))
    return None


@command("Clusters")
def profiles(face: Face) -> Any:
    """List the profiles that are offered."""
    from jupyter_kuberay.faces.answers import Listing

    return Listing("profile", face.client.settings.offered())
