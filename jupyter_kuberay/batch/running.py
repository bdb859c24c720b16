"""One run of a notebook: what is checked before it, what happens meanwhile, and what is said of its end."""

from __future__ import annotations

import asyncio
import hashlib
import os
import platform
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_kuberay.backends.local.leases import Lease, hold
from jupyter_kuberay.backends.local.processes import Birth
from jupyter_kuberay.batch import records
from jupyter_kuberay.batch.ending import how_it_ended, why_it_failed
from jupyter_kuberay.batch.notebook import CLUSTER_VARIABLE, Step, parameters_in, read_notebook, source_sha256
from jupyter_kuberay.batch.parameters import checked
from jupyter_kuberay.batch.places import Place
from jupyter_kuberay.batch.records import RunRecord, RunState
from jupyter_kuberay.errors import Conflict, KubeRayError
from jupyter_kuberay.loop import run_sync
from jupyter_kuberay.recording import MLFLOW_VARIABLE, shortened

if TYPE_CHECKING:
    from jupyter_kuberay.batch.execution import Execution

DISTRIBUTION = "jupyter-kuberay"
ATTACH = "__import__('jupyter_kuberay').connect().attach()"


@dataclass(frozen=True)
class RunRequest:
    """What is to run.

    Parameters
    ----------
    source, output
        Paths or URLs.
    parameters
        Put in the place of the values in the cell tagged ``parameters``; `parameters.Text` is read as the parameter's type.
    cluster
        The one that the notebook works on; it may be given later, when it is there.
    environment
        Variables of the kernel beside this process's own.
    folder
        Where the kernel works; default: the source's folder, or this process's for a URL.
    attach
        Attach the kernel to the cluster before the first cell.
    cell_timeout
        Seconds after which a cell that still runs ends the run.
    user, spec, image, group, job
        Kept with the run.
    id, notebook
        Of a run that was prepared elsewhere and goes on here: its id, and what its notebook is called there.
    """

    source: Place
    output: Place
    parameters: Mapping[str, Any] = field(default_factory=dict)
    cluster: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    attach: bool = True
    cell_timeout: float | None = None
    user: str = ""
    spec: Mapping[str, Any] = field(default_factory=dict)
    image: str = ""
    group: str = ""
    job: str = ""
    id: str = ""
    notebook: str = ""


class Run:
    """A run of a notebook: `prepare` it, then `go`.

    Parameters
    ----------
    told
        Called in the loop's thread with the record at each change.
    """

    def __init__(self, request: RunRequest, told: Callable[[RunRecord], None] | None = None) -> None:
        self.request = request
        self.record = RunRecord(request.id or records.new_id(), request.notebook or request.source.url, request.output.url)
        self.told = told or (lambda _: None)
        self._notebook: Any = None
        self._claim: Lease | None = None
        self._execution: Execution | None = None
        self._stops = 0
        self._begun = False

    # --- before ---

    def prepare(self) -> RunRecord:
        """Check everything that can be known before a cluster is there, and claim the output. Blocks.

        Raises
        ------
        NotFound, InvalidSpec
            There is no such notebook, or it is none, or it has no such parameter, or that is of another type.
        Conflict
            Another run writes to this output.
        Unwritable
            The output's place cannot be written.
        """
        request = self.request
        if request.source.url == request.output.url:
            raise Conflict(f"{request.output.url!r} is the notebook itself.", "Name another place for the output.")
        self._notebook, text = read_notebook(request.source.url)
        parameters = checked(parameters_in(self._notebook), request.parameters, request.source.name)
        self.record = self.record.changed(
            source_sha256=source_sha256(text),
            parameters=parameters,
            cells=sum(cell.cell_type == "code" for cell in self._notebook.cells),
            group=request.group,
            user=request.user,
            spec=request.spec,
            image=request.image,
            cluster=request.cluster,
            job=request.job,
            versions=versions(),
            started=records.now(),
            runner=whole_runner(),
        )
        self._claim_output()
        if request.output.path is not None and request.output.path.is_dir():
            raise Conflict(f"{request.output.url!r} is a folder.", "Name a file for the output.")
        self._write_record()
        self._tell()
        return self.record

    def _claim_output(self) -> None:
        name = hashlib.sha256(self.request.output.url.encode()).hexdigest()[:24]
        self._claim = hold(f"run-{name}")
        before = None
        with suppress(KubeRayError):  # where it cannot be read, writing tells
            before = records.read_record(self.request.output.url)
        if self._claim is None or (before is not None and not before.state.over and before.id != self.record.id):
            self._let_go()
            since = f" since {before.started[:19].replace('T', ' ')}" if before and not before.state.over else ""
            raise Conflict(f"Another run writes to {self.request.output.url!r}{since}.", "Wait for it, or name another output.")

    def _write_record(self) -> None:
        try:
            self.record.place.write(records.as_json(self.record))
        except KubeRayError:
            self._let_go()
            raise

    @property
    def begun(self) -> bool:
        """Whether `go` was called."""
        return self._begun

    # --- meanwhile ---

    def on(self, cluster: str, *, spec: Mapping[str, Any] | None = None, image: str = "") -> None:
        """Say on which cluster it runs."""
        self._change(cluster=cluster, spec=spec or self.record.spec, image=image or self.record.image)

    async def go(self) -> RunRecord:
        """Run it, and return how it ended; nothing is raised for what a notebook, its kernel or its cluster does.

        Raises
        ------
        Unwritable
            The output could not be written at the end; the hint says where it is instead.
        """
        self._begun = True
        # papermill takes a second to import, and the loop is everybody's.
        await asyncio.to_thread(__import__, "jupyter_kuberay.batch.execution")
        from jupyter_kuberay.batch.execution import Execution, Told
        from jupyter_kuberay.batch.saving import Saving

        request = self.request
        notebook = self._notebook = await asyncio.to_thread(_parameterized, self._notebook, dict(self.record.parameters), request)
        saving = Saving(request.output, lambda: _text(notebook), lambda: self.record.changed(heartbeat=records.now()))
        told = Told(changed=saving.changed, step=self._step, recorded=self._recorded)
        cluster = {CLUSTER_VARIABLE: self.record.cluster} if self.record.cluster else {}
        environment = {**os.environ, **request.environment, **cluster}
        execution = self._execution = Execution(
            notebook,
            request.output,
            told,
            environment=environment,
            folder=request.folder or (request.source.path.parent if request.source.path else Path.cwd()),
            first=self._first(environment),
            cell_timeout=request.cell_timeout,
        )
        self._change(state=RunState.RUNNING)
        try:
            if self._stops:
                execution.stop()
            else:
                await saving.begin()
                await execution.run()
            ending = how_it_ended(execution, request.source, request.output, request.cell_timeout)
        except Exception as error:
            ending = why_it_failed(request.source, request.output, error)
        except asyncio.CancelledError:
            self._change(state=RunState.INTERRUPTED, error="Interrupted.", ended=records.now(), cell="")
            with suppress(KubeRayError):
                await asyncio.shield(saving.finish())
            self._let_go()
            raise
        self._change(**ending, ended=records.now(), cell="")
        try:
            await saving.finish()
        except KubeRayError as error:
            self._change(state=RunState.FAILED, error=error.message, hint=error.hint)
            raise
        finally:
            self._let_go()
        return self.record

    def _first(self, environment: Mapping[str, str]) -> str:
        """What the kernel does before the first cell."""
        first = [ATTACH] if self.request.attach and self.record.cluster else []
        if environment.get(MLFLOW_VARIABLE):
            parameters = {name: shortened(value) for name, value in self.record.parameters.items()}
            first.append(f"__import__('jupyter_kuberay.recording').recording.begin({self.request.output.stem!r}, {parameters!r})")
        return "\n".join(first)

    def stop(self) -> int:
        """Called once: end after the cell that runs. Again: interrupt that. How often it was called; on the loop."""
        self._stops += 1
        if self._execution is not None:
            if self._stops == 1:
                self._execution.stop()
            else:
                self._execution.abort()
        return self._stops

    def give_up(self, error: BaseException) -> RunRecord:
        """It does not begin at all, because of ``error``. Blocks."""
        interrupted = isinstance(error, KeyboardInterrupt | asyncio.CancelledError)
        self._change(
            state=RunState.INTERRUPTED if interrupted else RunState.FAILED,
            error="Interrupted before it began." if interrupted else str(getattr(error, "message", error)),
            hint=str(getattr(error, "hint", "")),
            ended=records.now(),
        )
        with suppress(KubeRayError):
            self.record.place.write(records.as_json(self.record))
        self._let_go()
        return self.record

    def hand_over(self, job: str, cluster: str) -> RunRecord:
        """A job in the cluster runs it from now on, under the same id; nothing of it is held here any more. Blocks."""
        self._begun = True
        self._change(job=job, cluster=cluster, runner={}, heartbeat=records.now())
        with suppress(KubeRayError):
            self.record.place.write(records.as_json(self.record))
        self._let_go()
        return self.record

    def _step(self, now: Step) -> None:
        self._change(done=now.done, cells=now.cells, cell=now.title)

    def _recorded(self, values: Mapping[str, Any]) -> None:
        self._change(values={**self.record.values, **values})

    def _change(self, **values: Any) -> None:
        self.record = self.record.changed(**values)
        self._tell()

    def _tell(self) -> None:
        records.note(self.record)
        self.told(self.record)

    def _let_go(self) -> None:
        if self._claim is not None:
            self._claim.release()
            self._claim = None


def run_now(run: Run, interrupted: Callable[[int], None] | None = None) -> RunRecord:
    """`Run.go` for whoever waits: Ctrl-C ends it after its cell, and twice at once; ``interrupted`` is told the count."""

    def on_interrupt(error: KeyboardInterrupt) -> None:
        # A terminal has Ctrl-C; to be told to terminate means at once.
        count = run.stop() if type(error) is KeyboardInterrupt else max(run.stop(), run.stop())
        if interrupted is not None:
            interrupted(count)

    return run_sync(run.go(), on_interrupt)


# --- the notebook --------------------------------------------------------


def _parameterized(notebook: Any, parameters: dict[str, Any], request: RunRequest) -> Any:
    from papermill.execute import prepare_notebook_metadata, remove_error_markers
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    notebook = load_notebook_node(notebook)
    if parameters:
        notebook = parameterize_notebook(notebook, parameters, kernel_name="python3", language="python")
    return remove_error_markers(prepare_notebook_metadata(notebook, request.source.url, request.output.url))


def _text(notebook: Any) -> str:
    # Without the validation of nbformat.writes, which costs more than a cell that does nothing.
    from nbformat.v4 import writes

    return str(writes(notebook)) + "\n"  # type: ignore[no-untyped-call]


def whole_runner() -> dict[str, Any]:
    """This process, as what runs something."""
    return Birth.of(os.getpid()).json()


def versions() -> dict[str, str]:
    """What a run is told to have run with."""
    return {"python": platform.python_version(), "ray": version("ray"), DISTRIBUTION: version(DISTRIBUTION)}
