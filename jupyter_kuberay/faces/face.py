"""What commands need of whoever shows them: a client, a way to show waiting, a way to ask.

A command is defined once (`commands`) and returns values. A `Face` is the other
half: `terminal.Terminal` shows them as text, `magics.Notebook` hands them over.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from jupyter_kuberay.errors import KubeRayError

if TYPE_CHECKING:
    from jupyter_kuberay.batch import Step
    from jupyter_kuberay.batch.table import Table
    from jupyter_kuberay.client import Client
    from jupyter_kuberay.faces.apps import CellApplication
    from jupyter_kuberay.status import ClusterStatus, ServiceStatus

# Told what is waited for: a status (or a sentence), and the seconds since the beginning.
Told: TypeAlias = Callable[["ClusterStatus | ServiceStatus | str", float], None]


class Summarized(Protocol):
    """Something that changes and is shown: a sweep, a pipeline."""

    @property
    def summary(self) -> str: ...

    def table(self) -> Table: ...


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with what became of what was being done; both in one sentence."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class WrongUse(KubeRayError):
    """The command was not given what it needs; nothing was tried."""

    status = 400


class Face(ABC):
    """One conversation: a process of the command line, or a kernel."""

    program = "jupyter kuberay"  # what a person types before a command

    def __init__(self) -> None:
        self.cell: str | None = None  # what stands below the command, where that is a cell's first line
        self.backend = ""  # "" is what the configuration says
        self.output = "table"
        self.applications: dict[str, CellApplication] = {}  # of cells, kept to be published, by the service's name
        self.debug = False

    @property
    @abstractmethod
    def client(self) -> Client:
        """The client of the backend that was named."""

    @abstractmethod
    def waiting(self, title: str) -> AbstractContextManager[Told]:
        """Show what is waited for while the context lasts."""

    @abstractmethod
    def steps(self, title: str) -> AbstractContextManager[Callable[[Step], None]]:
        """Show how far a notebook is, cell by cell, while the context lasts."""

    @abstractmethod
    def showing(self, title: str) -> AbstractContextManager[Callable[[Summarized], None]]:
        """Show a table that changes while the context lasts; it may be told as often as it changes, from any thread."""

    @abstractmethod
    def say(self, text: str) -> None:
        """A sentence beside the result."""

    @abstractmethod
    def line(self, text: str) -> None:
        """One line of a result that has no end, such as a log."""

    @abstractmethod
    def ask(self, question: str) -> bool:
        """A question whose answer may lose something; `WrongUse` where nobody can answer."""

    @abstractmethod
    def cluster(self, status: ClusterStatus) -> Any:
        """What a person gets for a cluster that was brought up."""

    @abstractmethod
    def attach(self, name: str, timeout: float, *, replace: bool = False) -> Any:
        """Attach to a cluster that is usable, or tell how to; ``replace``: instead of another that is attached."""

    @property
    def attached(self) -> str:
        """The name of the cluster that this process is attached to, "" for none."""
        return ""

    def defined(self) -> set[str]:
        """Names that a person has defined in this process."""
        return set()

    def run_cell(self, variable: str) -> Any:
        """Run `cell` in this process, raising what it raises, and give what it has bound to ``variable``."""
        raise WrongUse("There is no notebook here.", "Use it in one.")

    def offer(self, statuses: Sequence[Any], how: str) -> Any:
        """A list to choose from, for a person who looks at it; None where nobody does."""
        return None

    def progress(self, shows: bool) -> None:
        """Show, or no longer, what Ray tasks do beside a cell that takes long; `WrongUse` where there are no cells."""
        raise WrongUse("There are no cells here.", "In a notebook: %kuberay progress on|off")

    @abstractmethod
    def detach(self) -> None:
        """Let go of the cluster that is attached; `WrongUse` where nothing could be."""

    def names(self, statuses: Sequence[Any], what: str) -> Any:
        """The only one of ``statuses``, or `WrongUse` with the names of all."""
        if len(statuses) == 1:
            return statuses[0]
        if not statuses:
            raise _nothing(what)
        raise WrongUse(f"There are {len(statuses)} {what}s, and none is named.", f"Name one of: {', '.join(one.name for one in statuses)}.")


def _nothing(what: str) -> KubeRayError:
    from jupyter_kuberay.errors import NotFound

    hint = "Bring one up: jupyter kuberay up NAME." if what == "cluster" else "Publish one: jupyter kuberay publish NAME."
    return NotFound(f"There is no {what}.", hint)
