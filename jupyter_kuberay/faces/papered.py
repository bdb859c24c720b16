"""What papermill's engine `kuberay` does: `engine` is what papermill loads, and says how it is used."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from nbclient.exceptions import CellExecutionError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NotebookExecutionManager

from jupyter_kuberay.batch import CLUSTER_VARIABLE, RunRecord, RunState, records
from jupyter_kuberay.batch.execution import title_of
from jupyter_kuberay.batch.notebook import source_sha256
from jupyter_kuberay.batch.places import Place
from jupyter_kuberay.batch.running import ATTACH, versions, whole_runner
from jupyter_kuberay.errors import Failed, InvalidSpec, KubeRayError
from jupyter_kuberay.faces.commands import wanted
from jupyter_kuberay.faces.runs import borrowed, check_cluster, cluster_facts, kernel_environment
from jupyter_kuberay.faces.terminal import Terminal
from jupyter_kuberay.recording import values_in

PROFILE_VARIABLE = "JUPYTER_KUBERAY_PROFILE"
METADATA = "kuberay"
_FIELDS = {"cluster", "profile", "workers", "gpus", "cpu", "memory", "image", "attach", "keep", "timeout"}


class Told(click.ClickException):
    """One of our errors, which papermill's command line shows without a traceback; its cause is the error itself."""

    def __init__(self, error: KubeRayError) -> None:
        super().__init__(f"{error.message}\n{error.hint}".rstrip())
        self.error = error


def execute(nb_man: NotebookExecutionManager, kernel_name: str, **options: Any) -> None:
    """As papermill's own engine does, on a cluster; ``options`` are its client's. Raises `Told`."""
    face = Terminal()
    try:
        _check_kernel(kernel_name)
        with _cluster(face, nb_man) as (name, attach):
            keeping = _Keeping(nb_man, name, cluster_facts(face, name))
            client = _Client(nb_man, kernel_name=kernel_name, first=ATTACH if attach else "", keeping=keeping, **options)
            with keeping.to_the_end():
                client.execute(env={**os.environ, **kernel_environment(face), CLUSTER_VARIABLE: name})
    except KubeRayError as error:
        raise Told(error) from error
    finally:
        face.close()


def _check_kernel(name: str) -> None:
    """Before a cluster is brought up for it."""
    try:
        KernelSpecManager().get_kernel_spec(name)
    except NoSuchKernel:
        raise InvalidSpec(f"The notebook wants a kernel {name!r}, which is not here.", "Name one that is: papermill -k python3 …") from None


@contextmanager
def _cluster(face: Terminal, nb_man: NotebookExecutionManager) -> Iterator[tuple[str, bool]]:
    """The one that is asked for, while the context lasts; and whether to attach to it."""
    asked = _asked(nb_man.nb.metadata.get(METADATA) or {}, os.environ)
    attach, keep, timeout = asked.pop("attach", True), asked.pop("keep", False), asked.pop("timeout", 300.0)
    if name := asked.pop("cluster", ""):
        check_cluster(face, name)
        yield name, attach
        return
    purpose = Place.of(nb_man.nb.metadata.papermill.get("input_path") or "papermill").stem
    with borrowed(face, purpose, keep, lambda new: wanted(face.client, new, asked.pop("profile", ""), **asked), timeout) as name:
        yield name, attach


def _asked(metadata: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """What a notebook and the environment ask for; the environment wins."""
    if not isinstance(metadata, Mapping) or (unknown := sorted(set(metadata) - _FIELDS)):
        what = f"It has {', '.join(unknown)}" if isinstance(metadata, Mapping) else "It is no mapping"
        raise InvalidSpec(f"The notebook's metadata {METADATA!r} cannot be: {what}.", f"It may have: {', '.join(sorted(_FIELDS))}.")
    asked = dict(metadata)
    if name := environment.get(CLUSTER_VARIABLE):
        asked["cluster"] = name
    elif profile := environment.get(PROFILE_VARIABLE):
        asked = {**asked, "profile": profile, "cluster": ""}
    return asked


class _Keeping:
    """The run's record, beside papermill's output and in this machine's list."""

    def __init__(self, nb_man: NotebookExecutionManager, cluster: str, facts: Mapping[str, Any]) -> None:
        import nbformat

        paper = nb_man.nb.metadata.papermill
        self._output = Place.of(nb_man.output_path) if nb_man.output_path else None
        self.record = RunRecord(
            records.new_id(),
            Place.of(paper.get("input_path") or "").url if paper.get("input_path") else "",
            self._output.url if self._output else "",
            RunState.RUNNING,
            source_sha256=source_sha256(nbformat.v4.writes(nb_man.nb).encode("utf-8", "replace")),  # type: ignore[no-untyped-call]
            parameters=dict(paper.get("parameters") or {}),
            cells=sum(cell.cell_type == "code" for cell in nb_man.nb.cells),
            cluster=cluster,
            versions=versions(),
            started=records.now(),
            runner=whole_runner(),
            **facts,
        )
        self._note()

    def changed(self, **values: Any) -> None:
        self.record = self.record.changed(heartbeat=records.now(), **values)
        records.note(self.record)

    def ended(self, **values: Any) -> None:
        self.changed(**values, ended=records.now(), cell="")
        self._note()

    @contextmanager
    def to_the_end(self) -> Iterator[None]:
        """Whatever ends the run meanwhile is kept as its end, unless that is known already."""
        try:
            yield
        except BaseException as error:
            if not self.record.state.over:
                interrupted = isinstance(error, KeyboardInterrupt | asyncio.CancelledError)
                said = "Interrupted." if interrupted else str(error).splitlines()[0] if str(error) else type(error).__name__
                self.ended(state=RunState.INTERRUPTED if interrupted else RunState.FAILED, error=said)
            raise

    def _note(self) -> None:
        records.note(self.record)
        if self._output is not None:
            self.record.place.write(records.as_json(self.record))


class _Client(PapermillNotebookClient):  # type: ignore[misc]
    """papermill's, which evaluates an expression before the first cell, and tells what happens."""

    def __init__(self, nb_man: NotebookExecutionManager, *, first: str, keeping: _Keeping, **more: Any) -> None:
        super().__init__(nb_man, **more)
        self._first, self._keeping = first, keeping

    def papermill_execute_cells(self) -> None:
        keeping, done = self._keeping, 0
        if self._first:
            self._evaluate()
        for index, cell in enumerate(self.nb.cells):
            self.nb_man.cell_start(cell, index)
            if cell.cell_type == "code":
                keeping.changed(done=done, cell=title_of(self.nb.cells, index))
            try:
                self.execute_cell(cell, index)
            except CellExecutionError as error:
                self.nb_man.cell_exception(self.nb.cells[index], cell_index=index, exception=error)
                said = f"{error.ename}: {error.evalue}".splitlines()[0]
                keeping.ended(state=RunState.FAILED, error=f"Cell [{cell.execution_count}] failed: {said}", hint="See its output.")
                return
            finally:
                self.nb_man.cell_complete(self.nb.cells[index], cell_index=index)
            done += cell.cell_type == "code"
        keeping.ended(state=RunState.SUCCEEDED, done=done)

    def _evaluate(self) -> None:
        reply = self.wait_for_reply(self.kc.execute(self._first, silent=True, store_history=False))
        content = (reply or {}).get("content", {})
        if content.get("status") == "error":
            raise Failed(str(content.get("evalue") or content.get("ename")), "Nothing of the notebook ran.")

    def process_message(self, msg: dict[str, Any], *more: Any, **named: Any) -> Any:
        if msg["msg_type"] in ("display_data", "execute_result") and (found := values_in(msg["content"].get("data"))):
            self._keeping.changed(values={**self._keeping.record.values, **found})
        return super().process_message(msg, *more, **named)
