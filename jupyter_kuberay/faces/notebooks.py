"""The commands about notebooks that run without a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from jupyter_kuberay.errors import InvalidSpec
from jupyter_kuberay.faces import options
from jupyter_kuberay.faces.commands import command, wanted
from jupyter_kuberay.faces.face import Face

SECTION = "Notebooks and models"


@command(SECTION)
@click.argument("notebook", type=click.Path())
@click.option(
    "-p", "--parameter", "parameters", type=(str, str), multiple=True, metavar="KEY VALUE", help="A parameter of the notebook; repeatable."
)
@click.option("-f", "--parameters", "file", default="", metavar="FILE", help="A YAML file of parameters, or its URL; -p wins over it.")
@click.option("--out", default="", metavar="URL", help="The notebook with its outputs, a path or URL; default: beside it, -out.ipynb.")
@click.option("--cluster", default="", metavar="NAME", shell_complete=options.cluster_names, help="Run it on a cluster that is there.")
@options.request
@click.option("--keep", is_flag=True, help="Leave the cluster that was brought up for it.")
@click.option("--no-attach", is_flag=True, help="Do not attach the kernel before the first cell; the notebook can do it itself.")
@click.option(
    "--cell-timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="End it when a cell takes longer; default: never.",
)
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), default=300, show_default=True, metavar="SECONDS", help="Of `up`.")
def run(
    face: Face,
    notebook: str,
    parameters: tuple[tuple[str, str], ...],
    file: str,
    out: str,
    cluster: str,
    keep: bool,
    no_attach: bool,
    cell_timeout: float | None,
    timeout: float,
    profile: str,
    **fields: Any,
) -> Any:
    """Run a notebook on a cluster, from beginning to end.

    On the cluster that is named, or on one that is brought up for it and taken
    down afterwards in any case. A cell that raises ends it with code 1; the
    output notebook holds everything up to there. Ctrl-C ends it after the cell
    that runs, and twice at once.
    """
    from jupyter_kuberay.batch import Place, Run, RunRequest
    from jupyter_kuberay.batch.parameters import Text
    from jupyter_kuberay.faces.answers import NotebookRun
    from jupyter_kuberay.faces.runs import borrowed, check_cluster, cluster_facts, kernel_environment, prepared, run_on

    source = Place.of(notebook)
    request = RunRequest(
        source,
        Place.of(out) if out else source.beside("-out.ipynb"),
        {**_parameters_in(file), **{key: Text(value) for key, value in parameters}},
        environment=kernel_environment(face),
        attach=not no_attach,
        cell_timeout=cell_timeout,
        user=face.client.user,
    )
    with prepared(Run(request)) as prepared_run:
        if cluster:
            check_cluster(face, cluster)
            prepared_run.on(cluster, **cluster_facts(face, cluster))
            return NotebookRun.of(run_on(face, prepared_run), kept=True)
        with borrowed(face, source.stem, keep, lambda name: wanted(face.client, name, profile, **fields), timeout) as name:
            prepared_run.on(name, **cluster_facts(face, name))
            done = run_on(face, prepared_run)
    return NotebookRun.of(done, kept=keep)


def _parameters_in(file: str) -> Mapping[str, Any]:
    import yaml

    from jupyter_kuberay.batch import Place

    if not file:
        return {}
    try:
        found = yaml.safe_load(Place.of(file).read())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidSpec(f"{file!r} is no YAML: {' '.join(str(error).split())}", "Mend it where it says.") from None
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
