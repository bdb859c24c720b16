"""``%kuberay``: the command line's commands in a notebook, giving objects instead of text.

>>> %load_ext jupyter_kuberay                           # doctest: +SKIP
>>> cluster = %kuberay up alice-1 --workers 2           # doctest: +SKIP

``%%kuberay`` gives a command the cell below: ``%%kuberay job`` and ``%%kuberay app NAME``.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from jupyter_kuberay.errors import KubeRayError
from jupyter_kuberay.faces.face import Face, Interrupted, Summarized, Told, WrongUse

if TYPE_CHECKING:
    from jupyter_kuberay.batch import Step
    from jupyter_kuberay.client import Client
    from jupyter_kuberay.faces.apps import CellApplication
    from jupyter_kuberay.faces.cell_events import CellEvents
    from jupyter_kuberay.status import ClusterStatus, ServiceStatus

PROGRAM = "%kuberay"
_REDRAWN_S = 0.25  # a table that changes, at most so often
_TAKE_A_CELL = ("job", "app")

# What a notebook shows as a table or card, by module and class: none of them is imported for that.
SHOWN = (
    ("jupyter_kuberay.status", "ClusterStatus"),
    ("jupyter_kuberay.status", "ServiceStatus"),
    ("jupyter_kuberay.status", "JobStatus"),
    ("jupyter_kuberay.published", "Published"),
    ("jupyter_kuberay.difference", "Difference"),
)

_applications: dict[str, CellApplication] = {}  # of this kernel's cells
_events: CellEvents | None = None  # of this process's shell


class Notebook(Face):
    """A kernel: what is waited for is one output that changes; answers are objects."""

    program = PROGRAM

    def __init__(self, shell: Any, cell: str | None = None) -> None:
        super().__init__()
        self._shell = shell
        self.cell = cell
        self.applications = _applications

    @property
    def client(self) -> Client:
        from jupyter_kuberay.cluster import client_of

        return client_of(self.backend)

    def waiting(self, title: str) -> AbstractContextManager[Told]:
        from jupyter_kuberay.faces.terminal import sentence

        return self._changing(lambda what, seconds: f"{title} · {seconds:.0f} s · {sentence(what)}")

    @contextmanager
    def steps(self, title: str) -> Iterator[Callable[[Step], None]]:
        began = time.monotonic()
        with self._changing(lambda what, seconds: f"{title} · {seconds:.0f} s · {what}") as told:
            yield lambda now: told(f"{now.done} of {now.cells} cells {now.title}".rstrip(), time.monotonic() - began)

    @contextmanager
    def showing(self, title: str) -> Iterator[Callable[[Summarized], None]]:
        if getattr(self._shell, "kernel", None) is None:
            from jupyter_kuberay.faces.terminal import Terminal

            with Terminal().showing(title) as told:
                yield told
            return
        from IPython import display

        shown: Any = display.display(_Line(title), display_id=True)  # type: ignore[no-untyped-call]
        at = 0.0

        def update(now: Summarized) -> None:
            nonlocal at
            if time.monotonic() - at >= _REDRAWN_S:
                at = time.monotonic()
                shown.update(now)

        try:
            yield update
        finally:
            shown.update(_Line(""))  # the answer itself is shown below

    @contextmanager
    def _changing(self, words: Callable[[ClusterStatus | ServiceStatus | str, float], str]) -> Iterator[Told]:
        """A display that shows the last thing that was told, and is emptied at the end."""
        if getattr(self._shell, "kernel", None) is None:
            # A terminal has no display that could change: the command line's line does.
            from jupyter_kuberay.faces.terminal import Terminal

            with Terminal().waiting(words("", 0.0).split(" ·")[0]) as told:
                yield told
            return
        from IPython import display

        shown: Any = display.display(_Line(""), display_id=True)  # type: ignore[no-untyped-call]
        try:
            yield lambda what, seconds: shown.update(_Line(words(what, seconds)))
        finally:
            shown.update(_Line(""))

    def say(self, text: str) -> None:
        print(text)

    def line(self, text: str) -> None:
        print(text)

    def ask(self, question: str) -> bool:
        try:
            return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
        except Exception:  # a kernel that nobody sits at raises an error of its own
            raise WrongUse(question, "Nobody can be asked here: say --yes if that is meant.") from None

    def cluster(self, status: ClusterStatus) -> Any:
        from jupyter_kuberay.cluster import Cluster

        return Cluster(status.name, self.client)

    def attach(self, name: str, timeout: float, *, replace: bool = False) -> Any:
        from jupyter_kuberay.cluster import Cluster

        return Cluster(name, self.client).attach(timeout=timeout, replace=replace)

    def detach(self) -> None:
        from jupyter_kuberay.attach import detach

        detach()

    @property
    def attached(self) -> str:
        attach = sys.modules.get("jupyter_kuberay.attach")
        held = attach.attached() if attach is not None else None
        return held.cluster if held is not None and held.alive else ""

    def defined(self) -> set[str]:
        return {name for name in self._shell.user_ns if not name.startswith("_")} - set(self._shell.user_ns_hidden)

    def run_cell(self, variable: str) -> Any:
        shell = self._shell
        # As IPython compiles a cell, so that a traceback has its lines.
        exec(shell.compile(self.cell, shell.compile.cache(self.cell), "exec"), shell.user_ns)
        if variable not in shell.user_ns:
            raise WrongUse(f"The cell defines no {variable!r}.", "Name the variable of its application: --app VARIABLE.")
        return shell.user_ns[variable]

    def offer(self, statuses: Sequence[Any], how: str) -> Any:
        from jupyter_kuberay.faces.answers import Listing

        return Listing("cluster", statuses, how) if _events is not None and _events.somebody_looks else None

    def progress(self, shows: bool) -> None:
        if _events is not None:
            _events.shows = shows


class _Line:
    """A faint line of text, or nothing."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        import html

        return f'<span style="color:#777">{html.escape(self._text)}</span>'


def run(line: str, shell: Any, cell: str | None = None) -> Any:
    """Run one line of ``%kuberay`` and return what the command gives; with ``-o json`` plain dictionaries and lists.

    ``cell`` is what stands below ``%%kuberay``.

    Raises
    ------
    KubeRayError
        Also for a line that the command does not understand.
    """
    import click

    from jupyter_kuberay.faces import apps, health, jobs, models, notebooks  # noqa: F401  (they add their commands)
    from jupyter_kuberay.faces.commands import kuberay

    face = Notebook(shell, cell)
    try:
        words = shlex.split(line)
        if cell is not None and not {"-h", "--help"} & set(words) and (not words or words[0] not in _TAKE_A_CELL):
            what = f"%%kuberay {words[0]}" if words else "%%kuberay"
            raise WrongUse(f"{what} takes no cell.", f"Those that do: {', '.join(_TAKE_A_CELL)}; others are one line: %kuberay.")
        answer = kuberay.main(args=words, prog_name=PROGRAM, standalone_mode=False, obj=face)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
        return None
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        raise WrongUse(error.format_message(), f"See: {context.command_path} --help" if context else "") from None
    except click.Abort as aborted:
        raise aborted.__cause__ or KeyboardInterrupt() from None
    except ValueError as error:  # shlex: a quotation without end
        raise WrongUse(f"The line cannot be read: {error}.", "Close the quotation.") from None
    if isinstance(answer, int):  # click's own code, after --help
        return None
    if face.output != "table":
        from jupyter_kuberay.faces.render import data

        return data(answer)
    return answer


# --- IPython -------------------------------------------------------------


def load_ipython_extension(shell: Any) -> None:
    """Add ``%kuberay`` with its completions, and show our errors and statuses as a person reads them."""
    global _events
    from jupyter_kuberay.faces.cell_events import CellEvents

    def kuberay(line: str, cell: str | None = None) -> Any:
        return run(line, shell, cell)

    shell.register_magic_function(kuberay, "line_cell", "kuberay")
    if _events is not None:
        _events.unregister()
    _events = CellEvents(shell)
    _events.register()
    shell.set_custom_exc((KubeRayError, Interrupted), _show_error)
    shell.set_hook("complete_command", _complete, re_key=r"(.*=\s*)?%?kuberay\s")
    html = shell.display_formatter.formatters["text/html"]
    plain = shell.display_formatter.formatters["text/plain"]
    for module, name in SHOWN:
        html.for_type_by_name(module, name, _as_html)
        plain.for_type_by_name(module, name, _as_plain)


def unload_ipython_extension(shell: Any) -> None:
    """Take ``%kuberay`` away again."""
    global _events
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("kuberay", None)
    if _events is not None:
        _events.unregister()
        _events = None


def _as_html(answer: Any) -> str:
    from jupyter_kuberay.faces.render import html

    return html(answer)


def _as_plain(answer: Any, printer: Any, _: bool) -> None:
    from jupyter_kuberay.faces.render import plain

    printer.text(plain(answer))


def _show_error(shell: Any, kind: type[BaseException], error: BaseException, traceback: Any, tb_offset: int | None = None) -> list[str]:
    """Message and hint instead of a traceback, which ``%tb`` shows."""
    sys.last_type, sys.last_value, sys.last_traceback = kind, error, traceback
    lines = [f"{kind.__name__}: {getattr(error, 'message', error)}"]
    if getattr(error, "hint", ""):
        lines.append(str(error.hint))  # type: ignore[attr-defined]
    shell._showtraceback(kind, error, lines)
    return lines


def _complete(shell: Any, event: Any) -> list[str]:
    """What may follow on the line, in the command line's own words."""
    from click.shell_completion import ShellComplete

    from jupyter_kuberay.faces import apps, health, jobs, models, notebooks  # noqa: F401
    from jupyter_kuberay.faces.commands import kuberay

    try:
        words = shlex.split(event.line.partition("kuberay")[2])
    except ValueError:
        return []
    incomplete = "" if event.line.endswith(" ") or not words else words.pop()
    found = ShellComplete(kuberay, {"obj": Notebook(shell)}, PROGRAM, "").get_completions(words, incomplete)
    return [item.value for item in found]
