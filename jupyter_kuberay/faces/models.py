"""The commands about published models."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from jupyter_kuberay.errors import KubeRayError, NotFound
from jupyter_kuberay.faces import options
from jupyter_kuberay.faces.commands import command, wanted
from jupyter_kuberay.faces.face import Face, Interrupted, WrongUse
from jupyter_kuberay.loop import run_sync

if TYPE_CHECKING:
    from jupyter_kuberay.publishing import Published, Step
    from jupyter_kuberay.spec import SecretKey

SECTION = "Notebooks and models"


class Pairs(click.ParamType[tuple[str, Any]]):
    """``KEY=VALUE``, the value read as YAML: numbers, true and lists mean what they look like."""

    name = "key=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Any]:
        import yaml

        key, sign, text = str(value).partition("=")
        if not key or not sign:
            self.fail(f"{value!r} is not KEY=VALUE.", param, ctx)
        try:
            return key, yaml.safe_load(text)
        except yaml.YAMLError:
            return key, text


class SecretReference(click.ParamType["SecretKey"]):
    """``SECRET`` or ``SECRET/KEY``; the key is "token" where none is given."""

    name = "secret"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> SecretKey:
        from jupyter_kuberay.spec import SecretKey

        if isinstance(value, SecretKey):
            return value
        secret, _, key = str(value).partition("/")
        return SecretKey(secret=secret, key=key or "token")


# --- models --------------------------------------------------------------


# What a service is given, beside its application.
publishing: Callable[[Callable[..., Any]], Callable[..., Any]] = options.together(
    click.option(
        "--model",
        default="",
        metavar="URI",
        shell_complete=options.model_paths,
        help="The weights: a path here, a URI that the cluster can read, or models:/NAME@ALIAS of a registry.",
    ),
    click.option(
        "--application",
        default="",
        metavar="APPLICATION",
        help="Which application of the service; one that is not there is added. Default: the one that is called like it.",
    ),
    click.option("--route-prefix", metavar="/PATH", help="Where a new application answers; default: / or /APPLICATION."),
    click.option(
        "--set", "settings", type=Pairs(), multiple=True, metavar="KEY=VALUE", help="A setting of the application; can be repeated."
    ),
    click.option("--replicas", type=int, metavar="N", help="How many replicas answer."),
    click.option("--min-replicas", type=int, metavar="N", help="Scaled by its queue instead: how few; 0: none while nobody asks."),
    click.option("--max-replicas", type=int, metavar="N", help="Likewise: how many at most."),
    click.option(
        "--target-ongoing-requests", type=float, metavar="N", help="Likewise: requests at a time for each replica; Serve's default: 2."
    ),
    click.option("--downscale-delay-s", type=float, metavar="SECONDS", help="Likewise: before there are fewer; Serve's default: 600."),
    click.option("--gpus", type=float, metavar="N", help="GPUs of each replica."),
    click.option("--registry", default="", metavar="URI", help="Where models:/… are kept: MLflow's tracking URI; default: as configured."),
    click.option(
        "--gates", type=click.Path(), metavar="FILE", help="The validation.json of its run: what failed its gates is not published."
    ),
    click.option("--despite-gates", is_flag=True, help="Publish also what failed its gates; its history tells it."),
    click.option("--allow-pickle", is_flag=True, help="Take a registered model whose weights are a pickle, which can run anything."),
    click.option(
        "--bearer", type=SecretReference(), metavar="SECRET[/KEY]", help="On Kubernetes: the Secret with the token that callers show."
    ),
    click.option("--in-image", is_flag=True, help="The application is in the image already: take it by its import path."),
    click.option("--code-store", default="", metavar="URI", help="A folder for code that is too large to go along."),
    click.option("--no-try-out", is_flag=True, help="Put it in without looking first whether it fits and loads."),
    click.option("--why", default="", metavar="TEXT", help="Kept with the revision."),
    click.option("--metric", "metrics", type=Pairs(), multiple=True, metavar="KEY=NUMBER", help="Kept with the revision; can be repeated."),
    options.profile,
    click.option("--workers", type=int, metavar="N", help="Workers of its cluster."),
    click.option("--image", metavar="NAME", help="Container image of its cluster."),
    click.option("--new-cluster", is_flag=True, help="Move a service that is there to another cluster, if what is asked for needs one."),
    click.option("--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="For all of it; default: 600, or 300."),
)


@command(SECTION)
@click.argument("name", shell_complete=options.prepared_names)
@click.option("--app", default="", metavar="MODULE:APP", help="The Serve application, or FILE.py:APP; its code goes along.")
@publishing
def publish(face: Face, name: str, **asked: Any) -> Any:
    """Publish a model as a service, or upgrade the one that is there.

    A revision of a service that is there is tried out before it is put in; if
    that fails, the earlier one goes on answering. Ctrl-C undoes what is not done.
    In a notebook --app may be left out after %%kuberay app NAME --no-publish.
    """
    return publish_application(face, name, **asked)


def publish_application(face: Face, name: str, app: str = "", **asked: Any) -> Published:
    """Publish ``app``, or, where that is "", the application of the cell that was kept under ``name``."""
    if app:
        return _published(face, name, app, **asked)
    if name not in face.applications:
        raise WrongUse("Missing option '--app'.", "Name the Serve application as MODULE:APP or FILE.py:APP.")
    with face.applications[name].written() as app:
        return _published(face, name, app, **asked)


def _published(
    face: Face,
    name: str,
    app: str,
    *,
    profile: str,
    workers: int | None,
    image: str | None,
    in_image: bool,
    no_try_out: bool,
    settings: tuple[tuple[str, Any], ...],
    metrics: tuple[tuple[str, Any], ...],
    **rest: Any,
) -> Published:
    from jupyter_kuberay.service import publish

    client, asked = face.client, {"workers": workers, "image": image}
    return _publishing(
        face,
        name,
        lambda told: publish(
            name,
            app=app,
            client=client,
            cluster=wanted(client, name, profile, **asked) if profile or any(value is not None for value in asked.values()) else None,
            settings=dict(settings),
            metrics={key: _number(key, value) for key, value in metrics},
            code=False if in_image else None,
            try_out=not no_try_out,
            progress=told,
            **rest,
        ),
    )


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise click.BadParameter(f"{key}={value} is no number.", param_hint="--metric")
    return float(value)


of_application: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--application", default="", metavar="APPLICATION", help="Which of its applications; default: the one that is called like it."
)


@command(SECTION)
@click.argument("name", shell_complete=options.service_names)
@click.option("--to", type=int, metavar="REVISION", help="Which one; default: the one before the current one.")
@of_application
@click.option("--why", default="", metavar="TEXT", help="Kept with its history.")
def rollback(face: Face, name: str, to: int | None, application: str, why: str) -> Any:
    """Put an earlier revision of a service in again.

    It keeps its number; revisions tells when it was put in again, by whom and why.
    """
    from jupyter_kuberay.service import rollback

    return _publishing(face, name, lambda told: rollback(name, to, application=application, why=why, client=face.client, progress=told))


def _publishing(face: Face, name: str, act: Callable[[Callable[[Step], None]], Published]) -> Published:
    """Show the steps; after Ctrl-C see off what was begun, and say what became of it."""
    was_there = _service_there(face, name)
    steps: list[Step] = []
    try:
        with face.waiting(name) as told:

            def step(now: Step) -> None:
                steps.append(now)
                told(now.message, now.seconds)

            return act(step)
    except KeyboardInterrupt:
        raise Interrupted(_undone(face, name, was_there, steps[-1].message if steps else "")) from None


def _service_there(face: Face, name: str) -> bool:
    from jupyter_kuberay.observation import Kind

    try:
        run_sync(face.client.backend.get(Kind.SERVICE, name))
    except NotFound:
        return False
    return True


def _undone(face: Face, name: str, was_there: bool, last: str) -> str:
    from jupyter_kuberay.observation import Kind

    if was_there:
        return f"Interrupted. Service {name!r} stays. {last}".rstrip()
    try:
        with face.waiting(name) as told:
            told("Taking it down again.", 0.0)
            run_sync(face.client.wait_gone(name, kind=Kind.SERVICE))
    except (KeyboardInterrupt, KubeRayError):
        return f"Interrupted. Service {name!r} may not be gone yet; remove it: jupyter kuberay unpublish {name}"
    return f"Interrupted. Service {name!r} was removed again; nothing of it is left."


@command(SECTION)
@click.argument("name", default="", shell_complete=options.service_names)
def services(face: Face, name: str) -> Any:
    """List the published services, or show the one called NAME."""
    from jupyter_kuberay.faces.answers import Listing

    return run_sync(face.client.service(name)) if name else Listing("service", run_sync(face.client.services()))


@command(SECTION)
@click.argument("name", shell_complete=options.service_names)
@of_application
def revisions(face: Face, name: str, application: str) -> Any:
    """List what was published under a name, the oldest first, and when an earlier one was put in again."""
    from jupyter_kuberay.faces.answers import Listing
    from jupyter_kuberay.service import Service

    return Listing("revision", Service(name, face.client).revisions(application))


@command(SECTION)
@click.argument("name", shell_complete=options.service_names)
@click.argument("before", type=int, required=False)
@click.argument("after", type=int, required=False)
@of_application
def diff(face: Face, name: str, before: int | None, after: int | None, application: str) -> Any:
    """Show what two revisions of a service differ in: code, model, settings, replicas, metrics.

    Without AFTER: BEFORE and the current one. Without both: the current one and
    the one before it.
    """
    from jupyter_kuberay.service import Service

    return Service(name, face.client).diff(before, after, application=application)


@command(SECTION)
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=options.service_names)
@of_application
@options.yes
@options.waits(60, "nothing of it is left")
def unpublish(face: Face, names: tuple[str, ...], application: str, yes: bool, no_wait: bool, timeout: float) -> Any:
    """Remove services, with their revisions and clusters; with --application one application of a service.

    The last application of a service goes with its service.
    """
    from jupyter_kuberay.faces.answers import Listing, Removed
    from jupyter_kuberay.observation import Kind
    from jupyter_kuberay.published import unpublish

    client = face.client
    if application and len(names) > 1:
        raise WrongUse(f"--application {application} is of one service, and {len(names)} are named.", "Name one.")
    for name in names:
        run_sync(client.seen(name, Kind.SERVICE))
    what = f"application {application} of {names[0]}" if application else ", ".join(names)
    if not yes and not face.ask(f"Unpublish {what}? Nothing answers there any more, and revisions are lost."):
        raise Interrupted("Nothing was removed.")
    gone = []
    for name in names:
        try:
            with face.waiting(name) as told:
                told("Ending its processes.", 0.0)
                whole = run_sync(unpublish(client.backend, name, application=application, wait=not no_wait, timeout=timeout))
        except KeyboardInterrupt:
            raise Interrupted(f"Interrupted. Service {name!r} goes on ending.") from None
        if application and whole:
            face.say(f"It was the last application of service {name}, which goes with it.")
        kind = "RayService" if whole else "Application"
        gone.append(Removed(name=name if whole else application, kind=kind, gone=not no_wait))
    return Listing("removed", gone)
