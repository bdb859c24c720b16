"""What an attached kernel does before and after each cell: it says that a connection was lost, and shows what Ray's tasks do.

Nothing here ever stands in a cell's way: whatever goes wrong is left unsaid.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jupyter_kuberay.attach import Attachment
    from jupyter_kuberay.config import KubeRay
    from jupyter_kuberay.faces.progress import Progress

# After such a silence the head is asked before the cell runs: a laptop that slept, or a network that dropped what was idle, tells nobody.
_SILENCE_S = 20.0


class CellEvents:
    """Of one IPython shell.

    Parameters
    ----------
    shell
        IPython's.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._told: Attachment | None = None  # whose loss was said
        self._heard = time.time()  # by the clock, which goes on while a machine sleeps
        self._settings: KubeRay | None = None
        self._progress: Progress | None = None
        self.shows: bool | None = None  # a person's word on progress; None: the configuration's

    def register(self) -> None:
        self._shell.events.register("pre_run_cell", self.begins)
        self._shell.events.register("post_run_cell", self.ends)

    def unregister(self) -> None:
        self._shell.events.unregister("pre_run_cell", self.begins)
        self._shell.events.unregister("post_run_cell", self.ends)

    def begins(self, *_: Any) -> None:
        """IPython is about to run a cell."""
        attach = sys.modules.get("jupyter_kuberay.attach")
        held = attach.attached() if attach is not None else None
        if held is None:
            return
        with suppress(Exception):
            held = self._still_there(held)
        if held is not None and self._is_wanted():
            with suppress(Exception):
                self._shown().begin(held)

    def ends(self, *_: Any) -> None:
        """It has run."""
        self._heard = time.time()
        if self._progress is not None:
            with suppress(Exception):
                self._progress.end()

    @property
    def somebody_looks(self) -> bool:
        """Whether a person sits at this kernel, who can be asked: nobody does where a notebook runs by itself."""
        return bool(getattr(getattr(self._shell, "kernel", None), "_allow_stdin", False))

    def _still_there(self, held: Attachment) -> Attachment | None:
        """``held`` or what has come in its place; None when it is lost, which was said then."""
        if held.alive and time.time() - self._heard > _SILENCE_S:
            with suppress(Exception):
                held.check()
        if held.alive:
            return held
        if held is self._told:
            return None
        self._told = held
        return self._say_lost(held)

    def _say_lost(self, held: Attachment) -> Attachment | None:
        from jupyter_kuberay.errors import KubeRayError
        from jupyter_kuberay.faces.lost import Lost
        from jupyter_kuberay.held import names_lost

        again, problem = None, ""
        if self.settings.auto_attach:
            try:
                again = held.again()
            except KubeRayError as error:
                problem = str(error)
        said = Lost(held.cluster, held.lost_at, names_lost(self._shell.user_ns), again=again is not None, problem=problem)
        if getattr(self._shell, "kernel", None) is None:
            print(said)
        else:
            from IPython.display import display

            display(said)  # type: ignore[no-untyped-call]
        return again

    @property
    def settings(self) -> KubeRay:
        """The configuration, read once."""
        if self._settings is None:
            from jupyter_kuberay.config import KubeRay, load
            from jupyter_kuberay.errors import InvalidSpec

            try:
                self._settings = load()
            except InvalidSpec:  # whoever uses it is told; here nothing depends on it
                self._settings = KubeRay()
        return self._settings

    def _is_wanted(self) -> bool:
        if getattr(self._shell, "kernel", None) is None:
            return False  # a terminal has no display that could change beside what a cell prints
        return self.shows if self.shows is not None else self.somebody_looks and self.settings.show_progress

    def _shown(self) -> Progress:
        if self._progress is None:
            from jupyter_kuberay.faces.progress import Progress

            self._progress = Progress()
        return self._progress
