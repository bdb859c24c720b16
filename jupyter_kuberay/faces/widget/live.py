"""A widget that is told what happens, and asks for what its page is asked for.

Its messages come in whatever thread the kernel has for them, and are only
posted to the background loop; what is told goes out from there. (ipykernel
hands what is sent to its own thread for it, whichever thread sends.)
"""

from __future__ import annotations

import weakref
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
from traitlets import Dict

from jupyter_kuberay.faces.widget.still import still
from jupyter_kuberay.faces.widget.told import Change, Scope, Told
from jupyter_kuberay.faces.widget.world import World, world
from jupyter_kuberay.loop import background_loop, run_sync

if TYPE_CHECKING:
    from concurrent.futures import Future

_PAGE = Path(__file__).parent / "page"
_VIEW = "application/vnd.jupyter.widget-view+json"
# Which of two neighbours is seen: the widget where it lives, the picture where it does not.
_PICTURED = ".jp-OutputArea-child:has(> .jp-OutputArea-output > .jk-still)"
_ONE_OF_TWO = (
    "<style>"
    f"{_PICTURED}:has(+ .jp-OutputArea-child .jk){{display:none}}"
    f"{_PICTURED} + .jp-OutputArea-child:not(:has(.jk)){{display:none}}"
    "</style>"
)


@cache
def _script() -> str:
    """The page's modules as one: a widget's script cannot import its neighbours."""
    return "\n".join(path.read_text("utf-8") for path in sorted(_PAGE.glob("*.js")))


class Live(anywidget.AnyWidget):
    """What all of them share: one comm, joined to the process's `World` until it is closed.

    Parameters
    ----------
    scope
        What it shows.
    """

    _esm = _script()
    _css = (_PAGE / "style.css").read_text("utf-8")

    shown = Dict().tag(sync=True, to_json=lambda _, widget: widget._begins_with())
    piece = Dict().tag(sync=True)

    def __init__(self, scope: Scope, what: str) -> None:
        self._scope, self._world, self._number = scope, world(), 0
        self._opened_at = 0
        self._last: Told | None = None  # of a widget that is closed: what it showed then
        self._picture: Any = None
        self._joined_as = f"widget-{id(self):x}-{datetime.now(UTC).timestamp()}"
        run_sync(self._world.join(self._joined_as, self._hear, runs=scope.runs is not None))
        super().__init__(piece={"what": what, "cluster": scope.cluster, "service": scope.service})
        _where_the_page_asks(self.comm)
        self.on_msg(_heard)
        weakref.finalize(self, _left, self._world, self._joined_as).atexit = False
        if self._number != self._opened_at:
            _post(self._answer({"op": "look"}))  # what happened while the comm was being opened went nowhere

    # --- what is told ---

    def _told_now(self) -> dict[str, Any]:
        told = self._last if self._last is not None else self._scope.of(self._world.told)
        return {**told, "seq": self._number}

    def _begins_with(self) -> dict[str, Any]:
        told = self._told_now()
        self._opened_at = told["seq"]
        return told

    def _hear(self, changes: list[Change], told: Told) -> None:
        if any(change["type"] == "all" for change in changes):
            self._tell_all()
            return
        mine = [self._scope.narrowed(change) for change in changes if self._scope.has(change)]
        if mine:
            self._number += 1
            self.send({"type": "changes", "seq": self._number, "changes": mine})

    def _tell_all(self) -> None:
        self._number += 1
        self.send({"type": "all", "shown": self._told_now()})

    # --- what is asked ---

    async def _answer(self, content: dict[str, Any]) -> None:
        from jupyter_kuberay.faces.widget.asked import answer

        operation, arguments = str(content.get("op", "")), content.get("arguments") or {}
        if operation == "look":
            self._tell_all()
        elif operation == "see":
            page = f"{self._joined_as}/{arguments.get('page', '')}"
            await self._world.see(page, arguments.get("clusters", []), arguments.get("services", []))
        else:
            self.send({"type": "answer", "call": content.get("call"), **await answer(self._world, operation, arguments)})

    # --- how it is shown ---

    def close(self) -> None:
        """Take it away from all pages, and end its watch, if it has the last; a picture of what was there stays."""
        if self.comm is None:
            return
        self._last = self._scope.of(self._world.told)
        if self._picture is not None:
            self._picture.update(self._beside())
        super().close()
        _left(self._world, self._joined_as)

    def _still(self) -> dict[str, str]:
        html, text = still(self._last or self._scope.of(self._world.told), self._scope, datetime.now(UTC))
        return {"text/html": html, "text/plain": text}

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The live view, and for whoever cannot show it a picture of what is there now."""
        bundle: dict[str, Any] = dict(self._still())
        if self.comm is not None:
            bundle[_VIEW] = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        return bundle, {}

    def _ipython_display_(self, **_: Any) -> None:
        # JupyterLab shows of one output the live view only, also in a notebook whose kernel is long gone. So the
        # picture is an output of its own, and either is seen.
        from IPython.display import display

        if self.comm is None:
            display(_Bundle(self._still()))  # type: ignore[no-untyped-call]
            return
        self._picture = display(self._beside(), display_id=True)  # type: ignore[no-untyped-call]
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        display({_VIEW: view, "text/plain": type(self).__name__}, raw=True)  # type: ignore[no-untyped-call]

    def _beside(self) -> _Bundle:
        """The picture, as the output before the live one."""
        bundle = self._still()
        return _Bundle({**bundle, "text/html": bundle["text/html"] + _ONE_OF_TWO})

    def __repr__(self) -> str:
        return self._still()["text/plain"]


class _Bundle:
    """What an output holds, by media type."""

    def __init__(self, bundle: dict[str, str]) -> None:
        self._bundle = bundle

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return self._bundle


def _heard(widget: Live, content: dict[str, Any], _: Any) -> None:
    _post(widget._answer(content))


def _left(world: World, view: str) -> None:
    _post(world.leave(view))


def _post(coroutine: Any) -> Future[Any]:
    return background_loop().submit(coroutine)


def _where_the_page_asks(comm: Any) -> None:
    """Let the page say which of the kernel's threads hears it: ipykernel 7.4 otherwise takes the one that last spoke.

    That is the main one, since that made the widget, and it hears nothing while a cell runs. What is heard here is
    only posted on, so any thread will do.
    """
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda data, default: default
