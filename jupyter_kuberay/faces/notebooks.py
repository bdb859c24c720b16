"""The commands about notebooks that run without a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from jupyter_kuberay.errors import InvalidSpec
from jupyter_kuberay.faces import options
from jupyter_kuberay.faces.commands import command
from jupyter_kuberay.faces.face import Face, WrongUse

SECTION = "Notebooks and models"
_SECONDS = click.FloatRange(min=0, min_open=True)


_parameters = options.together(
    click.option("-p", "--parameter", "parameters", type=(str, str), multiple=True, metavar="KEY VALUE", help="A parameter; repeatable."),
    click.option("-f", "--parameters", "file", default="", metavar="FILE", help="A YAML file of parameters, or its URL; -p wins over it."),
)
_where = options.together(
    click.option("--cluster", default="", metavar="NAME", shell_complete=options.cluster_names, help="Run on a cluster that is there."),
    options.request,
    click.option("--in-cluster", is_flag=True, help="Run beside the data, as a job: it goes on without this process."),
    click.option("--no-wait", is_flag=True, help="With --in-cluster: return as soon as it is sent."),
    click.option("--env", "environment", type=(str, str), multiple=True, metavar="KEY VALUE", help="With --in-cluster: a variable there."),
    click.option("--no-attach", is_flag=True, help="Do not attach kernels before the first cell; notebooks can do it themselves."),
    click.option("--cell-timeout", type=_SECONDS, metavar="SECONDS", help="End a run when a cell takes longer."),
    click.option("--timeout", type=_SECONDS, default=300, show_default=True, metavar="SECONDS", help="Of `up`."),
)
_at_once = click.option(
    "-N", "--at-once", type=click.IntRange(min=1), default=2, show_default=True, metavar="N", help="How many notebooks run side by side."
)


@command(SECTION)
@click.argument("notebook", type=click.Path())
@_parameters
@click.option("--out", default="", metavar="URL", help="The notebook with its outputs, a path or URL; default: beside it, -out.ipynb.")
@click.option("--sweep", "sweeps", multiple=True, metavar="KEY=A,B", help="Values to be tried (0:5 is a range), or a YAML of combinations.")
@_at_once
@click.option("--own-clusters", is_flag=True, help="Of a sweep: each run on a cluster of its own.")
@click.option("--resume", is_flag=True, help="Of a sweep: run only what is missing, failed, or of another notebook.")
@_where
@click.option("--keep", is_flag=True, help="Leave the cluster that was brought up for it.")
def run(
    face: Face,
    notebook: str,
    parameters: tuple[tuple[str, str], ...],
    file: str,
    out: str,
    sweeps: tuple[str, ...],
    at_once: int,
    own_clusters: bool,
    resume: bool,
    keep: bool,
    **where: Any,
) -> Any:
    """Run a notebook on a cluster, from beginning to end, once or as a sweep.

    On the cluster that is named, or on one that is brought up for it and taken
    down afterwards in any case. A cell that raises ends it with code 1; the
    output notebook holds everything up to there. Ctrl-C ends it after the cell
    that runs, and twice at once.
    """
    from jupyter_kuberay.batch import Place
    from jupyter_kuberay.faces.asked import Asked, Where

    source = Place.of(notebook)
    asked = Asked(face, Where(**where), source, _given(file, parameters), keep)
    if sweeps:
        return asked.sweep(Place.of(out) if out else source.beside("-sweep"), sweeps, at_once, own=own_clusters, resume=resume)
    if own_clusters or resume:
        raise WrongUse("--own-clusters and --resume are of a sweep.", "Say what is to be tried: --sweep lr=1e-3,1e-4.")
    return asked.once(Place.of(out) if out else source.beside("-out.ipynb"))


@command(SECTION)
@click.argument("file", default="pipeline.yaml", type=click.Path())
@click.option("-p", "--parameter", "parameters", type=(str, str), multiple=True, metavar="KEY VALUE", help="One of its own; repeatable.")
@click.option("--out", default="", metavar="URL", help="Where its outputs go, a folder or URL; default: what it says itself.")
@_at_once
@click.option("--force", is_flag=True, help="Run also what is unchanged.")
@click.option("--again", multiple=True, metavar="STEP", help="Run this step also if it is unchanged; repeatable.")
@_where
def pipeline(
    face: Face,
    file: str,
    parameters: tuple[tuple[str, str], ...],
    out: str,
    at_once: int,
    force: bool,
    again: tuple[str, ...],
    **where: Any,
) -> Any:
    """Run notebooks that feed each other, as FILE says: what is missing or changed.

    What does not wait for each other runs side by side. A notebook that fails
    keeps back only what needs it; run it again, and it goes on there. In the end
    all of it is one HTML page.
    """
    from jupyter_kuberay.batch import Place, values
    from jupyter_kuberay.faces.asked import Asked, Where

    asked = Asked(
        face, Where(**where), Place.of(file), {key: values.value(value, f"Parameter {key}") for key, value in parameters}, keep=False
    )
    return asked.pipeline(out, at_once, force or again)


def _given(file: str, parameters: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    from jupyter_kuberay.batch.parameters import Text

    return {**_parameters_in(file), **{key: Text(value) for key, value in parameters}}


def _parameters_in(file: str) -> Mapping[str, Any]:
    from jupyter_kuberay.batch import Place, values

    if not file:
        return {}
    found = values.read_yaml(Place.of(file).read().decode("utf-8-sig", "replace"), file)
    if not isinstance(found, dict):
        raise InvalidSpec(f"{file!r} holds no parameters.", "Write them as `name: value`, one a line.")
    return {str(name): value for name, value in found.items()}


@command(SECTION)
@click.argument("place", default="")
@click.option("-n", "--last", type=click.IntRange(min=1), default=20, show_default=True, metavar="N", help="How many, the newest first.")
@click.option("--failed", is_flag=True, help="Only those that went wrong.")
def runs(face: Face, place: str, last: int, failed: bool) -> Any:
    """List the runs of notebooks, the newest first.

    Those of this machine's user, or all whose records lie below PLACE, a folder
    or URL.
    """
    from jupyter_kuberay.batch.records import RunState, records, records_below
    from jupyter_kuberay.faces.answers import Listing

    found = records_below(place) if place else records()
    if failed:
        found = [one for one in found if one.state in (RunState.FAILED, RunState.LOST)]
    return Listing("run", found[:last])


@command(SECTION, shows=False)
@click.option("--model", default="", metavar="MODEL", help="A seq2seq model by name or path, to be trained further.")
@click.option("--run-dir", default="", metavar="PATH", type=click.Path(file_okay=False), help="Where all of it goes; default: runs/.")
@options.profile
@click.option("--keep", is_flag=True, help="Leave cluster and service running.")
def demo(face: Face, model: str, run_dir: str, profile: str, keep: bool) -> None:
    """From nothing to a served model, on a cluster of its own.

    Runs the lifecycle's notebooks, publishes the model, and asks it for two
    summaries. Takes some minutes, and cleans up whatever happens.
    """
    from jupyter_kuberay.faces.demo import Demo

    Demo(face, model=model, run_dir=run_dir, profile=profile, keep=keep).show()
