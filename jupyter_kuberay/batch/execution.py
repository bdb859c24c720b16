"""The cells of one notebook, one after the other, in a kernel of its own: papermill's bookkeeping over nbclient.

Everything is asynchronous, so that one process runs many. Imported only when a notebook runs,
because papermill takes a second to import.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

import zmq
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from papermill.engines import NotebookExecutionManager

from jupyter_kuberay.batch.notebook import Step
from jupyter_kuberay.batch.places import Place
from jupyter_kuberay.batch.streams import Printed
from jupyter_kuberay.errors import Failed
from jupyter_kuberay.recording import values_in

# What they say about parameters and kernels is said by us, as errors; without a handler Python prints it.
logger = logging.getLogger(__name__)
for each in (logger, logging.getLogger("papermill")):
    each.addHandler(logging.NullHandler())

START_SECONDS = 120  # of a kernel, on a machine that is busy
SHUTDOWN_SECONDS = 5.0  # what a kernel has to clean up, also after Ctrl-C, before it is killed
OUTPUT_SECONDS = 600  # what may take a cell's output to arrive after its end


@dataclass
class Told:
    """Whom an execution tells what happens."""

    changed: Callable[[], None]  # something in the notebook
    step: Callable[[Step], None]  # a cell's beginning or end
    recorded: Callable[[dict[str, Any]], None]  # values that the notebook recorded


class Execution:
    """One notebook that runs.

    Parameters
    ----------
    notebook
        Changed in place.
    output
        Where its output goes; what cells print beyond what a notebook holds goes beside it.
    environment
        The kernel's, whole.
    folder
        Where the kernel works.
    first
        Code that runs before the first cell, and is no part of the notebook.
    cell_timeout
        Seconds after which a cell that still runs ends the run.
    """

    def __init__(
        self,
        notebook: Any,
        output: Place,
        told: Told,
        *,
        environment: Mapping[str, str],
        folder: Path,
        first: str = "",
        cell_timeout: float | None = None,
    ) -> None:
        self.notebook = notebook
        self._told = told
        self._environment, self._folder, self._first = dict(environment), folder, first
        self._cell_timeout = cell_timeout
        self._stopping = self._in_cell = False
        self._task: asyncio.Task[Any] | None = None
        self._interrupting: asyncio.Task[None] | None = None
        self.overdue = False  # a cell took longer than it may
        self.code = [index for index, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
        self.done = 0
        self._keeping = _Keeping(notebook, told.changed)
        self._kernel = AsyncKernelManager(
            kernel_name="python3", kernel_spec_manager=_ThisInterpreter(), shutdown_wait_time=SHUTDOWN_SECONDS
        )
        if self._kernel.has_trait("transport_encryption") and zmq.has("curve"):
            self._kernel.transport_encryption = "auto"
        self._client = _Client(notebook, output, told, km=self._kernel, timeout=None, startup_timeout=START_SECONDS, log=logger)

    def stop(self) -> None:
        """End after the cell that runs."""
        self._stopping = True

    def abort(self) -> None:
        """Interrupt the cell that runs, and end."""
        self._stopping = True
        if self._task is not None and self._interrupting is None:
            self._interrupting = asyncio.ensure_future(self._interrupt(self._task))

    async def _interrupt(self, task: asyncio.Task[Any]) -> None:
        if self._in_cell:
            # So the cell itself ends, with its traceback, and what it waits for on the cluster with it.
            with suppress(Exception):
                await self._kernel.interrupt_kernel()
            await asyncio.wait({task}, timeout=SHUTDOWN_SECONDS)
        task.cancel()

    @property
    def stopped(self) -> bool:
        """Whether it ended because it was told to, with cells left."""
        return self._stopping and not self.overdue and self.done < len(self.code)

    async def run(self) -> None:
        """Run it to its end, to the first cell that raises, or until it is told to stop.

        A cell's error is in the notebook afterwards, as papermill writes it.

        Raises
        ------
        Failed
            The code before the first cell raised.
        nbclient.exceptions.DeadKernelError, RuntimeError
            The kernel died, or did not start.
        """
        self._keeping.notebook_start()
        self._task = asyncio.create_task(self._cells())
        try:
            await asyncio.wait({self._task})
            # One that was interrupted and did not end is cancelled, which nbclient takes for a dead kernel.
            if self._interrupting is None and not self._task.cancelled():
                self._task.result()
        except asyncio.CancelledError:
            self._task.cancel()
            raise
        finally:
            with suppress(asyncio.CancelledError, Exception):
                await self._task
            # Whatever is wrong with a kernel that ends anyway is nobody's business.
            with suppress(Exception):
                await self._end()
            self._keeping.notebook_complete()

    async def _cells(self) -> None:
        client, keeping = self._client, self._keeping
        # What cells print is in the notebook; what ipykernel itself complains of is nobody's business here.
        await client.async_start_new_kernel(env=self._environment, cwd=str(self._folder), stdout=DEVNULL, stderr=DEVNULL)
        await client.async_start_new_kernel_client()
        if self._first:
            await self._evaluate(self._first)
        for index, cell in enumerate(self.notebook.cells):
            if self._stopping:
                return
            is_code = cell.cell_type == "code"
            keeping.cell_start(cell, index)
            if is_code:
                self._told.step(Step(self.done, len(self.code), title_of(self.notebook.cells, index)))
            watch = asyncio.get_running_loop().call_later(self._cell_timeout, self._is_overdue) if self._cell_timeout else None
            self._in_cell = True
            try:
                await client.async_execute_cell(cell, index)
            except CellExecutionError as error:
                keeping.cell_exception(cell, cell_index=index, exception=error)
                keeping.cell_complete(cell, index)
                return
            except BaseException:
                keeping.cell_exception(cell, cell_index=index)
                keeping.cell_complete(cell, index)
                raise
            finally:
                self._in_cell = False
                if watch is not None:
                    watch.cancel()
                await client.printed_all(cell)
            keeping.cell_complete(cell, index)
            if is_code:
                self.done += 1
                left = self.done < len(self.code)
                self._told.step(Step(self.done, len(self.code), title_of(self.notebook.cells, index) if left else ""))
        info = await client.async_wait_for_reply(client.kc.kernel_info())
        if info is not None:
            self.notebook.metadata["language_info"] = info["content"].get("language_info", {})
        client.set_widgets_metadata()

    def _is_overdue(self) -> None:
        self.overdue = True
        self.abort()

    async def _evaluate(self, code: str) -> None:
        reply = await self._client.async_wait_for_reply(self._client.kc.execute(code, silent=True, store_history=False))
        content = (reply or {}).get("content", {})
        if content.get("status") == "error":
            raise Failed(str(content.get("evalue") or content.get("ename")), "Nothing of the notebook ran.")

    async def _end(self) -> None:
        # nbclient leaves them when it is interrupted: one would find the kernel dead, and say so in a traceback that nobody asked for.
        left = [task for task in asyncio.all_tasks() if _belongs_to(self._client, task)]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        if self._kernel.has_kernel:
            # This interrupts first: a cell that waits for the cluster passes that on, so that what it started there ends.
            await self._kernel.shutdown_kernel()
        if self._client.kc is not None:
            self._client.kc.stop_channels()
        await self._kernel.cleanup_resources()


def title_of(cells: list[Any], index: int) -> str:
    """The last heading above a cell, or its first line."""
    if {"parameters", "injected-parameters"} & set(cells[index].metadata.get("tags", [])):
        return "parameters"
    for cell in reversed(cells[:index]):
        for line in reversed(cell.source.splitlines()) if cell.cell_type == "markdown" else ():
            if line.startswith("#"):
                return str(line.lstrip("# ").strip())
    return next((str(line.strip()) for line in cells[index].source.splitlines() if line.strip()), "")


def _belongs_to(client: NotebookClient, task: asyncio.Task[Any]) -> bool:
    frame = getattr(task.get_coro(), "cr_frame", None)
    return frame is not None and frame.f_locals.get("self") is client


class _ThisInterpreter(KernelSpecManager):
    """Knows one kernel: ipykernel of the interpreter that runs this."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        command = [sys.executable, "-Xfrozen_modules=off", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=command, display_name="Python", language="python", metadata={"supported_encryption": "curve"})


class _Keeping(NotebookExecutionManager):  # type: ignore[misc]
    """papermill's marks in the notebook's metadata, without its way to save: that costs more than a cell that does nothing."""

    def __init__(self, notebook: Any, changed: Callable[[], None]) -> None:
        super().__init__(notebook, progress_bar=False)
        self._changed = changed

    def save(self, **_: Any) -> None:
        self._changed()


class _Client(NotebookClient):  # type: ignore[misc]
    """nbclient, which hands on what was recorded, and keeps what is printed within what a notebook can hold."""

    def __init__(self, notebook: Any, output: Place, told: Told, **more: Any) -> None:
        super().__init__(notebook, iopub_timeout=OUTPUT_SECONDS, raise_on_iopub_timeout=True, **more)
        self._output, self._told = output, told
        self._printed: dict[int, Printed] = {}

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        if msg["msg_type"] in ("display_data", "execute_result") and (found := values_in(msg["content"].get("data"))):
            self._told.recorded(found)
        try:
            return super().process_message(msg, cell, cell_index)
        finally:
            if msg["msg_type"] not in ("status", "execute_input"):
                self._told.changed()

    def output(self, outs: list[Any], msg: dict[str, Any], display_id: str | None, cell_index: int) -> Any:
        hooked = self.output_hook_stack[msg["parent_header"].get("msg_id")]
        if msg["msg_type"] != "stream" or hooked or self.clear_before_next_output:
            return super().output(outs, msg, display_id, cell_index)
        printed = self._printed.setdefault(cell_index, Printed(self._output.beside(f".cell-{cell_index + 1}.txt")))
        piece = printed.add(outs, msg["content"]["name"], msg["content"]["text"])
        return super().output(outs, {**msg, "content": {**msg["content"], **piece}}, display_id, cell_index) if piece else None

    async def printed_all(self, cell: Any) -> None:
        """The cell has ended."""
        from nbformat import from_dict

        for index in list(self._printed):
            if piece := await asyncio.to_thread(self._printed.pop(index).end):
                cell.outputs.append(from_dict(piece))  # type: ignore[no-untyped-call]
