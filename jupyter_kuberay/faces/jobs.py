"""The commands about jobs: a cell or a file that runs on a cluster by itself, whoever stays or goes."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jupyter_kuberay.errors import Failed, InvalidSpec, NotFound
from jupyter_kuberay.faces import options
from jupyter_kuberay.faces.commands import command, only, wanted
from jupyter_kuberay.faces.face import Face, Interrupted, Told, WrongUse
from jupyter_kuberay.loop import run_sync

if TYPE_CHECKING:
    from jupyter_kuberay.client import Client
    from jupyter_kuberay.spec import JobSpec
    from jupyter_kuberay.status import JobStatus

SECTION = "Notebooks and models"
FILE = "cell.py"
_ALL = 10**9  # lines
_SETTLES_S = 30.0  # the last line comes before the status that says so
# Ray's own first words of a job's output; the command in it may have 100 KB.
_BEGINS = "Running entrypoint for job "


@command(SECTION)
@click.argument("name", default="", shell_complete=options.job_names)
@click.option(
    "--file", default="", metavar="FILE.py", type=click.Path(dir_okay=False), help="The program; in a notebook, %%kuberay takes the cell."
)
@click.option("--cluster", default="", metavar="NAME", shell_complete=options.cluster_names, help="Run it on a cluster that is there.")
@options.request
@click.option("--no-wait", is_flag=True, help="Return at once; what it prints can be followed later.")
def job(face: Face, name: str, file: str, cluster: str, profile: str, no_wait: bool, **fields: Any) -> Any:
    """Run a program as a job of its own, or follow the one called NAME.

    It runs on the cluster that is named, on one of its own where a profile or
    a size is asked for, or else on the one that is attached or the only one.
    The person's own modules that it imports go along. What it prints appears
    here; it goes on without whoever sent it. Ctrl-C stops following, not the job.
    """
    asked = profile or any(value is not None for value in fields.values())
    text = _text(face, file)
    if text is None:
        if asked or cluster:
            raise WrongUse("Nothing is there to run.", "Give a program by --file, or as the cell below %%kuberay job.")
        if not name:
            raise WrongUse("No job is named.", f"Name one; see which there are: {face.program} jobs.")
    else:
        if cluster and asked:
            raise WrongUse("Both a cluster that is there and one of its own are asked for.", "Leave one of them out.")
        name = name or f"cell-{secrets.token_hex(3)}"
        on = wanted(face.client, name, profile, **fields) if asked else cluster or face.attached or only(face)
        run_sync(send(face.client, _spec(face, name, text, on)))
        if no_wait:
            face.say(f"Follow it: {face.program} job {name}; stop it: {face.program} stop {name}.")
            return run_sync(_status(face.client, name))
    return _followed(face, name, follow=not no_wait)


def _text(face: Face, file: str) -> str | None:
    if not file:
        return face.cell
    try:
        return Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSpec(f"{file} cannot be read: {getattr(error, 'strerror', '') or error}.", "Name a Python file.") from None


def _spec(face: Face, name: str, text: str, cluster: Any) -> JobSpec:
    from jupyter_kuberay.carried import carried
    from jupyter_kuberay.faces.cells import packed
    from jupyter_kuberay.spec import JobSpec

    files = packed(text, FILE, face.defined() if face.cell == text else ())
    entrypoint, variables = carried(files, ["python", FILE], everywhere=len(files) > 1)
    environment = {"runtime_env": {"env_vars": variables}} if variables else {}
    return JobSpec(name=name, entrypoint=entrypoint, cluster=cluster, user=face.client.user, **environment)


async def send(client: Client, spec: JobSpec) -> None:
    from jupyter_kuberay.manifest import job_bundle

    if isinstance(spec.cluster, str):
        await client.seen(spec.cluster)
    await client.backend.create(job_bundle(spec))


async def _status(client: Client, name: str) -> JobStatus:
    from jupyter_kuberay.observation import Kind
    from jupyter_kuberay.status import job_status

    return job_status(await client.seen(name, Kind.JOB), client.backend.now())


def _followed(face: Face, name: str, *, follow: bool) -> JobStatus:
    client = face.client
    run_sync(_status(client, name))  # says which there are, where this one is not
    last: list[str] = []
    tell = face.line if face.output == "table" else face.say  # whoever wants JSON wants nothing else beside it

    async def show() -> JobStatus:
        async with aclosing(printed(client, name, follow=follow)) as lines:  # type: ignore[type-var]
            async for line in lines:
                tell(line)
                last[:] = [line] if line.strip() else last
        return await (settled(client, name) if follow else _status(client, name))

    try:
        if follow:
            with face.waiting(name) as told:
                run_sync(_begun(client, name, told))
        status = run_sync(show())
    except KeyboardInterrupt:
        how = f"Follow it again: {face.program} job {name}; stop it: {face.program} stop {name}"
        raise Interrupted(f"Interrupted. Job {name!r} goes on. {how}") from None
    except NotFound:
        raise Failed(f"Job {name!r} was stopped and removed meanwhile.", "Run it anew.") from None
    if follow and str(status.phase) == "Failed":
        what = last[-1] if last else status.cause.what if status.cause else "It failed."
        raise Failed(f"Job {name!r} failed: {' '.join(what.split())}", "What it printed is above; mend what it names, and run it anew.")
    return status


async def _begun(client: Client, name: str, told: Told) -> None:
    """Wait until it runs or is over, telling why it does not yet."""
    began = time.monotonic()
    async with aclosing(_looks(client, name)) as looks:
        async for status in looks:
            if str(status.phase) != "Pending":
                return
            told(status.cause.what if status.cause else "It starts.", time.monotonic() - began)


async def _looks(client: Client, name: str) -> AsyncGenerator[JobStatus, None]:
    """How a job is, at each change; `NotFound` when it is gone."""
    from jupyter_kuberay.observation import ChangeType, Kind
    from jupyter_kuberay.status import job_status

    async with aclosing(client.backend.watch(Kind.JOB)) as changes:  # type: ignore[type-var]
        async for change in changes:
            if change.seen is not None and change.seen.name == name:
                if change.type is ChangeType.DELETED:
                    raise NotFound(f"Job {name!r} is gone.")
                yield job_status(change.seen, client.backend.now())


async def printed(client: Client, name: str, *, follow: bool) -> AsyncIterator[str]:
    """The lines of a job's output, without Ray's own before them; of a job that never began, all that there is."""
    from jupyter_kuberay.observation import Kind

    before: list[str] | None = []
    async with aclosing(client.logs(name, kind=Kind.JOB, follow=follow, tail=_ALL)) as lines:  # type: ignore[type-var]
        async for line in lines:
            if before is None:
                yield line
            elif _BEGINS in line:
                before = None
            else:
                before.append(line)
    for line in before or ():
        yield line


async def settled(client: Client, name: str) -> JobStatus:
    """How the job ended; as it is, where that is not told in time."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_SETTLES_S), aclosing(_looks(client, name)) as looks:
            async for status in looks:
                if status.phase.over:
                    return status
    return await _status(client, name)


@command(SECTION)
def jobs(face: Face) -> Any:
    """List the jobs that there are."""
    from jupyter_kuberay.faces.answers import Listing

    return Listing("job", run_sync(face.client.jobs()))


@command(SECTION)
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=options.job_names)
@options.yes
@options.waits(60, "nothing of it is left")
def stop(face: Face, names: tuple[str, ...], yes: bool, no_wait: bool, timeout: float) -> Any:
    """Stop jobs, and remove them with what they have printed."""
    from jupyter_kuberay.faces.answers import Listing, Removed
    from jupyter_kuberay.observation import Kind

    client = face.client
    there = [run_sync(_status(client, name)) for name in names]
    running = [one.name for one in there if not one.phase.over]
    if running and not yes and not face.ask(f"Stop {', '.join(running)}? What it has printed is lost, too."):
        raise Interrupted("Nothing was stopped.")
    for name in names:
        with face.waiting(name) as told:
            told("Ending its processes.", 0.0)
            run_sync(client.down(name, kind=Kind.JOB, wait=not no_wait, timeout=timeout))
    return Listing("removed", [Removed(name=name, kind="RayJob", gone=not no_wait) for name in names])
