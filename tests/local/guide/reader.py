"""Somebody who reads a page of docs/ and does what it says: cells in a notebook, commands in a terminal, files in a folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.manager import KernelManager

from tests import examples
from tests.examples import Example

CELL_S, COMMAND_S = 240, 240


class Reader:
    """With one kernel and one folder for all pages."""

    def __init__(self, folder: Path, environment: Mapping[str, str], client: Any) -> None:
        self.folder = folder
        self._environment = {**environment, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "100"}
        self._client = client

    def follow(self, page: str, *, last: bool = False) -> None:
        """Do all that a page says that can be done here, and compare what comes of it with what the page shows.

        ``last``: what a page does in the very end, and nothing else.
        """
        for example in examples.examples(page):
            if example.runs and ("last" in example.classes) is last:
                self._do(example)

    def _do(self, example: Example) -> None:
        if example.kind == "file":
            (self.folder / example.caption).write_text(example.text + "\n")
        elif example.kind == "notebook":
            nbformat.write(examples.notebook(example.text), self.folder / example.caption)
        elif example.kind == "cell":
            said, raised = self._cell(example.text)
            assert raised == ("raises" in example.classes), f"{example} {'raised' if raised else 'did not raise'}:\n{said}"
            _compare(example, example.text, said, example.output)
        elif example.kind == "commands":
            for command, shown in examples.commands(example):
                done = self.command(command)
                assert (done.returncode != 0) == ("raises" in example.classes), f"{example} {command}: {done.returncode}\n{done.stdout}"
                _compare(example, command, done.stdout, shown or None)

    def command(self, text: str) -> subprocess.CompletedProcess[str]:
        """As a terminal shows it, errors included."""
        return subprocess.run(
            ["bash", "-c", text],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )

    def _cell(self, code: str) -> tuple[str, bool]:
        """What a person sees below a cell in the end, as text; and whether it is an error."""
        shown: dict[str, str] = {}
        raised = False

        def hook(message: dict[str, Any]) -> None:
            nonlocal raised
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                shown[f"{len(shown)}"] = content["text"]
            elif kind in ("execute_result", "display_data", "update_display_data"):
                name = content.get("transient", {}).get("display_id") or f"{len(shown)}"
                text = content["data"].get("text/plain", "")
                shown[name] = f"{text}\n" if text else ""  # a line about what is waited for is emptied in the end
            elif kind == "error":
                raised = True
                shown[f"{len(shown)}"] = "\n".join(content["traceback"]) + "\n"

        self._client.execute_interactive(code, output_hook=hook, timeout=CELL_S, allow_stdin=False)
        return "".join(shown.values()), raised


def _compare(example: Example, what: str, said: str, wanted: str | None) -> None:
    if os.environ.get("JUPYTER_KUBERAY_TEST_SHOWS"):
        print(f"=== {example}: {what}\n{said}")
    if wanted is not None:
        assert examples.shown_as(said, wanted), f"{example} {what!r} shows\n{said}\nand the page\n{wanted}"


@contextmanager
def reading(folder: Path, environment: Mapping[str, str]) -> Iterator[Reader]:
    """A reader; nothing of its kernel is left."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(env=dict(environment), cwd=str(folder))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=120)
        yield Reader(folder, environment, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel()
