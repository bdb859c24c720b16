"""Notebooks for tests, and somebody who runs them in this process, with records beside the outputs as a real run has them."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from jupyter_kuberay.batch.places import Place
from jupyter_kuberay.batch.records import RunRecord, RunState, new_id, now


def write_notebook(path: Path, parameters: str, *cells: str) -> Path:
    """With a cell of parameters, and these cells of code."""
    tagged = new_code_cell(parameters, metadata={"tags": ["parameters"]})
    notebook = new_notebook(cells=[new_markdown_cell(f"# {path.stem}"), tagged, *map(new_code_cell, cells)])
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


Told = Callable[[RunRecord], None]


class Runner:
    """Runs a notebook's cells in a namespace of their own, in which they find ``record(name, value)``."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.running: set[str] = set()
        self.together: list[frozenset[str]] = []  # what ran at the same time, whenever something began
        self.stop = asyncio.Event()
        self.gate: asyncio.Event | None = None
        self.meet: set[str] = set()  # these wait for each other, however fast one of them is

    async def run(self, name: str, notebook: str, parameters: Mapping[str, Any], output: str, told: Told, group: str = "") -> RunRecord:
        self.begun.append(name)
        self.running.add(name)
        self.together.append(frozenset(self.running))
        try:
            async with asyncio.timeout(20):
                while name in self.meet and not self.meet <= self.running:
                    await asyncio.sleep(0.01)
            self.meet.discard(name)
            return await self._run(notebook, parameters, output, told, group)
        finally:
            self.running.discard(name)

    async def _run(self, notebook: str, parameters: Mapping[str, Any], output: str, told: Told, group: str) -> RunRecord:
        source = Path(notebook).read_bytes()
        content = nbformat.reads(source.decode(), as_version=4)
        code = [cell for cell in content.cells if cell.cell_type == "code"]
        values: dict[str, Any] = {}
        namespace = {"record": values.__setitem__}
        record = RunRecord(
            id=new_id(),
            notebook=notebook,
            output=output,
            state=RunState.RUNNING,
            source_sha256=hashlib.sha256(source).hexdigest(),
            parameters=dict(parameters),
            cells=len(code),
            started=now(),
            group=group,
            cluster="demo",
            user="ada",
            versions={"ray": "2.55.1", "python": "3.11.7"},
        )
        for number, cell in enumerate(code):
            record = record.changed(done=number, values=dict(values), cell=cell.source.splitlines()[0])
            self._save(content, record, told)
            await asyncio.sleep(0)
            if self.gate:
                await self.gate.wait()
            cell.execution_count = number + 1
            try:
                exec(cell.source, namespace)
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
                cell.outputs = [new_output("error", ename=type(error).__name__, evalue=str(error), traceback=[f"\x1b[31m{said}\x1b[0m"])]
                return self._save(content, record.changed(state=RunState.FAILED, error=said, ended=now()), told)
            if "parameters" in cell.metadata.get("tags", []):
                namespace |= parameters
            if self.stop.is_set():
                return self._save(content, record.changed(state=RunState.INTERRUPTED, done=number + 1, ended=now()), told)
        return self._save(
            content, record.changed(state=RunState.SUCCEEDED, done=len(code), cell="", values=dict(values), ended=now()), told
        )

    def _save(self, content: nbformat.NotebookNode, record: RunRecord, told: Told) -> RunRecord:
        Place.of(record.output).write(nbformat.writes(content).encode())
        record.place.write(json.dumps(record.json()).encode())
        told(record)
        return record
