"""The face of the command line: results on stdout, everything else on stderr.

On a terminal a line moves while something is waited for; in a pipe each news is a line.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from jupyter_kuberay.faces.face import Face, Summarized, Told, WrongUse

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import Console, RenderableType

    from jupyter_kuberay.batch import Step
    from jupyter_kuberay.client import Client
    from jupyter_kuberay.status import ClusterStatus, ServiceStatus

_NEWS_S = 1.0  # between two lines of a table that changes, where nobody watches it


class Terminal(Face):
    """A process of the command line."""

    @cached_property
    def client(self) -> Client:
        from jupyter_kuberay.client import Client

        return Client.on(self.backend) if self.backend else Client()

    def now(self) -> datetime | None:
        """The time where the answer comes from, as far as that is known; None when nobody was asked."""
        return self.client.backend.now() if "client" in vars(self) else None

    def close(self) -> None:
        """Let go of connections, if there are any."""
        if "client" in vars(self):
            from jupyter_kuberay.loop import run_sync

            with suppress(Exception):  # whatever stands in the way of a good end is no answer to the command
                run_sync(self.client.close())

    @cached_property
    def out(self) -> Console:
        """Where results go."""
        from rich.console import Console

        class Results(Console):
            def on_broken_pipe(self) -> None:
                raise BrokenPipeError  # rich would end the process by itself

        return Results(highlight=False, markup=False, emoji=False)

    @cached_property
    def err(self) -> Console:
        """Where everything else goes."""
        from rich.console import Console

        return Console(stderr=True, highlight=False, markup=False, emoji=False)

    @contextmanager
    def waiting(self, title: str) -> Iterator[Told]:
        if self.err.is_terminal:
            from rich.live import Live

            line = _Line(title)
            with Live(line, console=self.err, refresh_per_second=10, transient=True):
                yield line.told
        else:
            yield self._plain_news(title)

    def _plain_news(self, title: str) -> Told:
        last = ""

        def told(what: ClusterStatus | ServiceStatus | str, seconds: float) -> None:
            nonlocal last
            news = sentence(what)
            if news != last:
                self.say(f"{title}: {news} ({seconds:.1f} s)")
            last = news

        return told

    @contextmanager
    def steps(self, title: str) -> Iterator[Callable[[Step], None]]:
        if not self.err.is_terminal:
            yield self._plain_steps(title)
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[what]}", style="dim"),
        )
        with Progress(*columns, console=self.err) as progress:
            task = progress.add_task(title, total=None, what="starting a kernel")

            def step(now: Step) -> None:
                progress.update(task, total=now.cells, completed=now.done, what="" if now.done == now.cells else now.title)

            yield step

    def _plain_steps(self, title: str) -> Callable[[Step], None]:
        began = time.monotonic()

        def step(now: Step) -> None:
            what = "done" if now.done == now.cells else now.title
            self.say(f"{title}: {now.done} of {now.cells} cells ({time.monotonic() - began:.1f} s){': ' + what if what else ''}")

        return step

    @contextmanager
    def showing(self, title: str) -> Iterator[Callable[[Summarized], None]]:
        shown: list[Summarized] = []
        if self.err.is_terminal:
            from rich.live import Live
            from rich.text import Text

            def lines() -> RenderableType:
                return Text(shown[0].table().text() if shown else title, no_wrap=True, overflow="ellipsis")

            with Live(get_renderable=lines, console=self.err, refresh_per_second=4, transient=True):
                yield lambda now: shown.__setitem__(slice(None), [now])
            return
        said, at = "", 0.0

        def told(now: Summarized) -> None:
            nonlocal said, at
            shown[:] = [now]
            if now.summary != said and time.monotonic() - at >= _NEWS_S:
                said, at = now.summary, time.monotonic()
                self.say(said)

        yield told
        if shown and shown[0].summary != said:
            self.say(shown[0].summary)

    def say(self, text: str) -> None:
        # A sentence is not worth rich's import when nobody looks.
        if sys.stderr.isatty():
            self.err.print(text)
        else:
            print(text, file=sys.stderr, flush=True)

    def line(self, text: str) -> None:
        print(text, flush=True)

    def ask(self, question: str) -> bool:
        if not sys.stdin.isatty():
            raise WrongUse(question, "Nobody can be asked here: say --yes if that is meant.")
        import click

        return click.confirm(question, err=True)

    def cluster(self, status: ClusterStatus) -> Any:
        return status

    def detach(self) -> None:
        raise WrongUse("The command line is attached to nothing.", "In a notebook: %kuberay detach")

    def attach(self, name: str, timeout: float, *, replace: bool = False) -> Any:
        from jupyter_kuberay.backends.base import CLIENT_PORT, DASHBOARD_PORT
        from jupyter_kuberay.faces.answers import Attaching
        from jupyter_kuberay.loop import run_sync

        where = f", backend={self.backend!r}" if self.backend else ""
        how = "replace=True" if replace else ""
        code = f"from jupyter_kuberay import connect\n\ncluster = connect({name!r}{where})\ncluster.attach({how})"
        addresses = {}
        if self.client.backend.name == "local":  # elsewhere a tunnel would end with this process
            addresses = {
                "client": run_sync(_address(self.client, name, CLIENT_PORT, "ray")),
                "dashboard": run_sync(_address(self.client, name, DASHBOARD_PORT, "http")),
            }
        return Attaching(name=name, code=code, **addresses)


async def _address(client: Client, name: str, port: int, scheme: str) -> str:
    from jupyter_kuberay.errors import Unreachable

    try:
        async with client.reach(name, port) as endpoint:
            return f"{scheme}://{endpoint.address}"
    except Unreachable:
        return ""


def sentence(what: ClusterStatus | ServiceStatus | str) -> str:
    """What happens now, in one line."""
    if isinstance(what, str):
        return what
    from jupyter_kuberay.faces.view import brief

    return brief(what.cause.what) if what.cause else f"It is {str(what.phase).lower()}."


class _Line:
    """One line that moves: what is waited for, how it is, and for how long."""

    def __init__(self, title: str) -> None:
        from rich.spinner import Spinner

        self._title = title
        self._now = ""
        self._began = time.monotonic()
        self._spinner = Spinner("dots", style="cyan")

    def told(self, what: ClusterStatus | ServiceStatus | str, _: float) -> None:
        self._now = sentence(what)

    def __rich__(self) -> RenderableType:
        from rich.text import Text

        words = Text.assemble((self._title, "bold"), (f"  {time.monotonic() - self._began:4.0f} s  ", "cyan"), (self._now, "dim"))
        words.no_wrap, words.overflow = True, "ellipsis"
        self._spinner.update(text=words)
        return self._spinner
