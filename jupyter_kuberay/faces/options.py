"""Options and arguments that several commands share, and what completes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from jupyter_kuberay.faces.face import Face

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

F = TypeVar("F", bound=Callable[..., Any])
OUTPUTS = ("table", "json", "yaml")


# --- completion ----------------------------------------------------------


def _completions(ctx: click.Context, incomplete: str, names: Callable[[Any], list[tuple[str, str]]]) -> list[CompletionItem]:
    """Never an error: whoever presses Tab wants a name or nothing."""
    from click.shell_completion import CompletionItem

    try:
        from jupyter_kuberay.client import Client
        from jupyter_kuberay.config import load

        client = ctx.obj.client if isinstance(ctx.obj, Face) else Client(settings=load())
        taken = set(ctx.params.get("names") or ())
        return [CompletionItem(name, help=said) for name, said in names(client) if name.startswith(incomplete) and name not in taken]
    except Exception:
        return []


def cluster_names(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from jupyter_kuberay.loop import run_sync

    return _completions(
        ctx, incomplete, lambda client: [(one.name, str(one.phase)) for one in run_sync(client.clusters()) if not one.owner]
    )


def service_names(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from jupyter_kuberay.loop import run_sync

    return _completions(ctx, incomplete, lambda client: [(one.name, str(one.phase)) for one in run_sync(client.services())])


def prepared_names(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Services, and applications of cells that wait to be published."""
    from click.shell_completion import CompletionItem

    found = service_names(ctx, parameter, incomplete)
    kept = ctx.obj.applications if isinstance(ctx.obj, Face) else {}
    there = {item.value for item in found}
    return found + [CompletionItem(name, help="of a cell") for name in kept if name.startswith(incomplete) and name not in there]


def job_names(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from jupyter_kuberay.loop import run_sync

    return _completions(ctx, incomplete, lambda client: [(one.name, str(one.phase)) for one in run_sync(client.jobs())])


def model_paths(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Models that runs have left below the current folder, those that may be published first."""
    from pathlib import Path

    from jupyter_kuberay.faces.server.trained import found

    return _completions(ctx, incomplete, lambda _: [(one.path, one.title) for one in found(Path.cwd())])


def profile_names(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return _completions(ctx, incomplete, lambda client: [(one.name, one.title) for one in client.settings.offered()])


# --- of every command ----------------------------------------------------


class BackendType(click.ParamType[str]):
    """A backend that this version has; which these are is the configuration's word."""

    name = "backend"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        there = _backends()
        if value not in there:
            self.fail(f"There is no backend {value!r}; choose one of: {', '.join(there)}.", param, ctx)
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(name) for name in _backends() if name.startswith(incomplete)]


def _backends() -> tuple[str, ...]:
    from jupyter_kuberay.config import KubeRay

    return tuple(KubeRay.backend.values)  # type: ignore[arg-type]


def _remember(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def remember(ctx: click.Context, _: click.Parameter, value: Any) -> None:
        if value not in (None, False):
            setattr(ctx.obj, name, value)

    return remember


def common(shows: bool) -> list[click.Parameter]:
    """What every command understands, so that it can be said after its name; ``-o`` if it ``shows`` something."""
    return [
        *([_OUTPUT] if shows else []),
        click.Option(
            ["--backend"],
            type=BackendType(),
            expose_value=False,
            callback=_remember("backend"),
            metavar="NAME",
            help="Where clusters run: local is this machine. Default: what the configuration says.",
        ),
        click.Option(["--debug"], is_flag=True, expose_value=False, callback=_remember("debug"), help="Show an error's whole traceback."),
    ]


_OUTPUT = click.Option(
    ["-o", "--output"],
    type=click.Choice(OUTPUTS),
    expose_value=False,
    callback=_remember("output"),
    help="How the result is shown; json and yaml have a stable shape.",
)


# --- of some -------------------------------------------------------------


def together(*options: Callable[[F], F]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def waits(seconds: float, what: str) -> Callable[[F], F]:
    """``--no-wait`` and ``--timeout`` of a command that waits until ``what``."""
    return together(
        click.option("--no-wait", is_flag=True, help=f"Return at once, without waiting until {what}."),
        click.option(
            "--timeout",
            type=click.FloatRange(min=0, min_open=True),
            default=seconds,
            show_default=True,
            metavar="SECONDS",
            help="How long to wait.",
        ),
    )


profile = click.option(
    "--profile", default="", metavar="NAME", shell_complete=profile_names, help="What to start from; see: jupyter kuberay profiles."
)

request: Callable[[F], F] = together(
    profile,
    click.option("--workers", type=int, metavar="N", help="How many workers."),
    click.option("--gpus", type=int, metavar="N", help="GPUs of each worker."),
    click.option("--cpu", metavar="QUANTITY", help="CPU of each worker, such as 2 or 500m."),
    click.option("--memory", metavar="QUANTITY", help="Memory of each worker, such as 8Gi."),
    click.option("--image", metavar="NAME", help="Container image; default: Ray's own for this Ray and Python."),
)

yes = click.option("-y", "--yes", is_flag=True, help="Do not ask.")
