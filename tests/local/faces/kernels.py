"""A kernel with the page's half of it: what a browser would be told, and what it would send."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty
from typing import Any

from jupyter_client.manager import KernelManager

ANSWERS_S = 60.0


class Kernel:
    """One, with all that its widgets have sent: ``opened`` by comm, and ``told`` in order, as (comm, content)."""

    def __init__(self, manager: KernelManager) -> None:
        self._manager = manager
        self.client: Any = manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=ANSWERS_S)
        self.opened: dict[str, dict[str, Any]] = {}
        self.closed: set[str] = set()
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.outputs: list[dict[str, Any]] = []
        self._text: dict[str, str] = {}
        self._idle: set[str] = set()
        self._interrupted: set[str] = set()
        self._calls = 0
        self._subshell = ""

    def begin(self, code: str) -> str:
        """Run a cell without waiting for its end; its id."""
        return str(self.client.execute(code))

    def run(self, code: str) -> str:
        """Run a cell to its end; what it printed. Fails with what it raised."""
        cell = self.begin(code)
        self.until(lambda: cell in self._idle)
        return self._text.get(cell, "")

    def runs(self, cell: str) -> bool:
        """Whether a cell has not come to its end yet, as far as was told."""
        return cell not in self._idle

    def interrupt(self, cell: str) -> None:
        """End a cell by an interrupt."""
        self._interrupted.add(cell)
        self._manager.interrupt_kernel()
        self.until(lambda: cell in self._idle)

    def forget(self) -> None:
        """What came up to now."""
        self.opened, self.closed, self.told, self.outputs = {}, set(), [], []

    def widget(self, code: str) -> str:
        """Run a cell that makes one of our widgets; its comm."""
        before = set(self.opened)
        self.run(code)
        (made,) = [comm for comm, state in self.opened.items() if comm not in before and state.get("_model_module") == "anywidget"]
        return made

    def ask(self, comm: str, operation: str, *, beside: bool = True, **arguments: Any) -> Callable[[], dict[str, Any]]:
        """Send as a page does; the call that is given waits for the answer. ``beside``: as JupyterLab does, by a subshell."""
        self._calls += 1
        call = f"call-{self._calls}"
        content = {"op": operation, "call": call, "arguments": arguments}
        message = self.client.session.msg("comm_msg", {"comm_id": comm, "data": {"method": "custom", "content": content}})
        if beside:
            message["header"]["subshell_id"] = self.subshell()
        self.client.shell_channel.send(message)

        def answer() -> dict[str, Any]:
            self.until(lambda: bool(self._of(call)))
            return self._of(call)[0]

        return answer

    def _of(self, call: str) -> list[dict[str, Any]]:
        return [content for _, content in self.told if content.get("call") == call]

    def subshell(self) -> str:
        """One of the kernel's own threads for comms, which JupyterLab asks for."""
        if not self._subshell:
            self.client.control_channel.send(self.client.session.msg("create_subshell_request"))
            self._subshell = self.client.get_control_msg(timeout=ANSWERS_S)["content"]["subshell_id"]
        return self._subshell

    def heard(self, comm: str, words: str) -> bool:
        """Whether a widget was told something with these words of JSON: as a change, or in its first list, which may come only then."""
        return any(which == comm and words in json.dumps(content) for which, content in self.told)

    def changes(self, comm: str) -> list[dict[str, Any]]:
        """All changes that a widget was told of."""
        return [change for which, content in self.told if which == comm and content["type"] == "changes" for change in content["changes"]]

    def until(self, so: Callable[[], bool], seconds: float = ANSWERS_S) -> None:
        """Take what comes until ``so()``; fail after ``seconds``."""
        deadline = time.monotonic() + seconds
        while not so():
            left = deadline - time.monotonic()
            assert left > 0, f"not within {seconds:.0f} s; told: {self.told[-5:]}"
            try:
                self._take(self.client.get_iopub_msg(timeout=min(left, 1.0)))
            except Empty:
                continue

    def _take(self, message: dict[str, Any]) -> None:
        kind, content, parent = message["msg_type"], message["content"], message["parent_header"].get("msg_id", "")
        if kind == "comm_open":
            self.opened[content["comm_id"]] = content["data"]["state"]
        elif kind == "comm_close":
            self.closed.add(content["comm_id"])
        elif kind == "comm_msg" and content["data"].get("method") == "custom":
            self.told.append((content["comm_id"], content["data"]["content"]))
        elif kind in ("display_data", "execute_result", "update_display_data"):
            self.outputs.append(content["data"])
        elif kind == "stream":
            self._text[parent] = self._text.get(parent, "") + content["text"]
        elif kind == "error" and parent not in self._interrupted:
            raise AssertionError("\n".join(content["traceback"]))
        elif kind == "status" and content["execution_state"] == "idle":
            self._idle.add(parent)

    def close(self) -> None:
        self.client.stop_channels()
        self._manager.shutdown_kernel()


@contextmanager
def kernel(data_dir: Path) -> Iterator[Kernel]:
    """A kernel whose local clusters are in ``data_dir``."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(env={**os.environ, "JUPYTER_KUBERAY_DATA_DIR": str(data_dir), "JUPYTER_KUBERAY_BACKEND": "local"})
    made = Kernel(manager)
    try:
        yield made
    finally:
        made.close()
