"""papermill as it is needed here: this interpreter's kernel, progress by cell, nothing left behind.

Imported only when a notebook runs, because papermill takes a second to import.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL
from typing import TYPE_CHECKING, Any

import papermill
import zmq
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import Engine, NotebookExecutionManager, papermill_engines

from jupyter_kuberay.batch.notebook import Progress, Step

# What they say about parameters and kernels is said by us, as errors; without a handler Python prints it.
logger = logging.getLogger(__name__)
for each in (logger, logging.getLogger("papermill")):
    each.addHandler(logging.NullHandler())

if TYPE_CHECKING:
    from nbformat import NotebookNode

ENGINE = "jupyter-kuberay"
SAVE_SECONDS = 5  # how old the output notebook may be while a cell prints
START_SECONDS = 120  # of a kernel, on a machine that is busy
SHUTDOWN_SECONDS = 5.0  # what a kernel has to clean up, also after Ctrl-C, before it is killed


def execute(
    source: Path, target: Path, parameters: dict[str, Any], *, environment: Mapping[str, str], folder: Path, progress: Progress
) -> int:
    """Run it, and return how many code cells ran; raises what papermill and nbclient raise."""
    if ENGINE not in papermill_engines._engines:
        papermill_engines.register(ENGINE, _Engine)
    done = papermill.execute_notebook(
        _plain(source),
        _plain(target),
        parameters,
        engine_name=ENGINE,
        kernel_name="python3",
        language="python",
        progress_bar=False,
        autosave_cell_every=SAVE_SECONDS,
        cwd=str(folder),
        environment=dict(environment),
        progress=progress,
    )
    return sum(cell.cell_type == "code" for cell in done.cells)


def _plain(path: Path) -> str:
    """For papermill, to which braces in a path are templates."""
    return str(path).replace("{", "{{").replace("}", "}}")


class _ThisInterpreter(KernelSpecManager):
    """Knows one kernel: ipykernel of the interpreter that runs this."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        command = [sys.executable, "-Xfrozen_modules=off", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=command, display_name="Python", language="python", metadata={"supported_encryption": "curve"})


class _Manager(NotebookExecutionManager):  # type: ignore[misc]
    """Tells each cell's beginning and end."""

    def __init__(self, *args: Any, progress: Progress, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._progress = progress
        self._code = [index for index, cell in enumerate(self.nb.cells) if cell.cell_type == "code"]
        self._done = 0

    def cell_start(self, cell: NotebookNode, cell_index: int, **kwargs: Any) -> None:
        super().cell_start(cell, cell_index, **kwargs)
        if cell.cell_type == "code":
            self._progress(Step(self._done, len(self._code), _title(self.nb.cells, cell_index)))

    def cell_complete(self, cell: NotebookNode, cell_index: int, **kwargs: Any) -> None:
        super().cell_complete(cell, cell_index, **kwargs)
        # papermill calls a cell complete also when it was interrupted, or the kernel died.
        if cell.cell_type == "code" and cell.metadata.papermill["status"] == self.COMPLETED and sys.exc_info()[0] is None:
            self._done += 1
            if self._done == len(self._code):
                self._progress(Step(self._done, len(self._code), ""))


def _title(cells: list[NotebookNode], index: int) -> str:
    if {"parameters", "injected-parameters"} & set(cells[index].metadata.get("tags", [])):
        return "parameters"
    for cell in reversed(cells[:index]):
        for line in reversed(cell.source.splitlines()) if cell.cell_type == "markdown" else ():
            if line.startswith("#"):
                return str(line.lstrip("# ").strip())
    return next((str(line.strip()) for line in cells[index].source.splitlines() if line.strip()), "")


class _Engine(Engine):  # type: ignore[misc]
    @classmethod
    def execute_notebook(
        cls,
        nb: NotebookNode,
        kernel_name: str,
        *,
        output_path: str | None,
        autosave_cell_every: int,
        environment: dict[str, str],
        progress: Progress,
        **_: Any,
    ) -> Any:
        manager = _Manager(nb, output_path, progress_bar=False, autosave_cell_every=autosave_cell_every, progress=progress)
        manager.notebook_start()
        kernel = AsyncKernelManager(kernel_name=kernel_name, kernel_spec_manager=_ThisInterpreter(), shutdown_wait_time=SHUTDOWN_SECONDS)
        if kernel.has_trait("transport_encryption") and zmq.has("curve"):
            kernel.transport_encryption = "auto"
        client = PapermillNotebookClient(manager, km=kernel, timeout=None, startup_timeout=START_SECONDS, log=logger)
        try:
            # nbclient would leave the kernel when it is interrupted while it starts, so it is ended here.
            # What cells print is in the notebook; what ipykernel itself complains of is nobody's business here.
            client.execute(env=environment, cleanup_kc=False, stdout=DEVNULL, stderr=DEVNULL)
        finally:
            _finish(_ended(kernel, client))
            manager.notebook_complete()
        return manager.nb


def _finish(coroutine: Coroutine[Any, Any, None]) -> None:
    from jupyter_core.utils import run_sync

    async def run() -> None:
        with suppress(Exception):  # whatever is wrong with a kernel that ends anyway
            await coroutine

    run_sync(run)()


async def _ended(kernel: AsyncKernelManager, client: PapermillNotebookClient) -> None:
    # nbclient leaves them when it is interrupted: one would find the kernel dead, and say so in a traceback that nobody asked for.
    left = [task for task in asyncio.all_tasks() if _belongs_to(client, task)]
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    if kernel.has_kernel:
        # This interrupts first: a cell that waits for the cluster passes that on, so that what it started there ends.
        await kernel.shutdown_kernel()
    if client.kc is not None:
        client.kc.stop_channels()
    await kernel.cleanup_resources()


def _belongs_to(client: PapermillNotebookClient, task: asyncio.Task[Any]) -> bool:
    frame = getattr(task.get_coro(), "cr_frame", None)
    return frame is not None and frame.f_locals.get("self") is client
