"""A kernel that a person sits at: long cells, Ctrl-C, a connection that drops, jobs that outlive it. A real one, on the shared cluster."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from jupyter_kuberay.manifest import cluster_bundle
from jupyter_kuberay.spec import ClusterSpec

from .conftest import NAME, CommandLine, Said

pytestmark = pytest.mark.timeout(300)

SECONDS = 120  # for one cell, on a machine that may be busy


@dataclass
class Ran:
    """What a cell showed, in the order in which it came."""

    printed: str = ""
    shown: list[dict[str, Any]] = field(default_factory=list)  # and shown anew, later
    result: dict[str, Any] = field(default_factory=dict)
    error: tuple[str, list[str]] | None = None
    seconds: float = 0.0

    def take(self, kind: str, content: dict[str, Any]) -> None:
        if kind == "stream":
            self.printed += content["text"]
        elif kind in ("display_data", "update_display_data"):
            self.shown.append(content["data"])
        elif kind == "execute_result":
            self.result = content["data"]
        elif kind == "error":
            self.error = content["ename"], content["traceback"]


class Kernel:
    """A kernel and the person at it, who could be asked."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self._manager = KernelManager()
        self._manager.start_kernel(env=environment, cwd=str(folder))
        self._client: BlockingKernelClient = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=SECONDS)

    @property
    def pid(self) -> int:
        return int(self._manager.provisioner.pid)  # type: ignore[union-attr]

    def interrupt(self) -> None:
        self._manager.interrupt_kernel()

    def __call__(self, cell: str, meanwhile: Callable[[Ran], bool] | None = None, *, asked: bool = True) -> Ran:
        """Run a cell to its end; ``meanwhile`` is called with what came so far, until it says that it has done its part.

        ``asked``: whether the person could be asked something.
        """
        ran, began = Ran(), time.monotonic()
        number = self._client.execute(cell, allow_stdin=asked)
        while True:
            assert time.monotonic() - began < SECONDS, ran
            try:
                message = self._client.get_iopub_msg(timeout=0.2)
            except Exception:  # queue.Empty
                message = None
            if message is not None and message["parent_header"].get("msg_id") == number:
                if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                    ran.seconds = time.monotonic() - began
                    return ran
                ran.take(message["msg_type"], message["content"])
            if meanwhile is not None and meanwhile(ran):
                meanwhile = None

    def done(self, cell: str) -> Ran:
        """Run a cell in which nothing may go wrong."""
        ran = self(cell)
        assert ran.error is None, ran.error
        return ran

    def close(self) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)


@contextmanager
def started(kuberay: CommandLine, folder: Path) -> Iterator[Kernel]:
    kernel = Kernel(dict(kuberay.environment), folder)
    try:
        kernel.done("%load_ext jupyter_kuberay")
        yield kernel
    finally:
        kernel.close()


@pytest.fixture(scope="module")
def kernel(alice: Said, kuberay: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    with started(kuberay, tmp_path_factory.mktemp("kernel")) as kernel:
        yield kernel


@pytest.fixture
def attached(kernel: Kernel) -> Kernel:
    kernel.done(f"%kuberay attach {NAME}\nimport ray, time")
    return kernel


# --- what tasks do -------------------------------------------------------

STEPS = """
@ray.remote(num_cpus=0)
def step(seconds):
    time.sleep(seconds)
"""


def test_a_long_cell_shows_what_its_tasks_do_and_nothing_of_it_stays(attached: Kernel) -> None:
    ran = attached.done(f"{STEPS}\nray.get([step.remote(0), step.remote(12)])")
    shown = [each["text/html"] for each in ran.shown]
    assert any("step" in html and "running" in html for html in shown)
    assert shown[-1] == "" and ran.shown[-1]["text/plain"] == ""
    assert ran.printed == ""


def test_a_short_cell_shows_nothing(attached: Kernel) -> None:
    assert attached.done(f"{STEPS}\nray.get(step.remote(0))\nNone").shown == []


def test_progress_can_be_switched_off_and_on(attached: Kernel) -> None:
    attached.done("%kuberay progress off")
    try:
        assert attached.done(f"{STEPS}\nray.get(step.remote(6))").shown == []
    finally:
        attached.done("%kuberay progress on")


def test_attach_without_a_name_offers_the_clusters_to_whoever_looks_and_is_an_error_where_nobody_does(
    kernel: Kernel, kuberay: CommandLine
) -> None:
    asleep = cluster_bundle(ClusterSpec(name="asleep", suspend=True).resolved(version("ray"), "3.11"))
    asyncio.run(kuberay.backend.create(asleep))
    try:
        html = kernel.done("%kuberay attach").result["text/html"]
        assert NAME in html and "asleep" in html and "%kuberay attach NAME" in html
        ran = kernel("%kuberay attach", asked=False)
        assert ran.error is not None and ran.error[0] == "WrongUse" and f"Name one of: {NAME}, asleep." in ran.error[1][1]
    finally:
        assert kuberay("down", "asleep", "--yes").code == 0


# --- Ctrl-C --------------------------------------------------------------


def test_an_interrupt_of_a_cell_that_waits_for_tasks_cancels_them_and_the_kernel_goes_on(attached: Kernel, tmp_path: Path) -> None:
    cell = f"""
@ray.remote(num_cpus=0)
def endless(path):
    import pathlib, time
    pathlib.Path(path + ".began").touch()
    try:
        while True:
            time.sleep(0.05)
    except KeyboardInterrupt:
        pathlib.Path(path + ".cancelled").touch()
        raise
ray.get([endless.remote("{tmp_path}/1"), endless.remote("{tmp_path}/2")])
"""

    def when_both_run(_: Ran) -> bool:
        if len(list(tmp_path.glob("*.began"))) < 2:
            return False
        attached.interrupt()
        return True

    ran = attached(cell, when_both_run)
    assert ran.error is not None and ran.error[0] == "KeyboardInterrupt"
    assert attached.done("print(6 * 7)").printed == "42\n"
    until(lambda: len(list(tmp_path.glob("*.cancelled"))) == 2)
    assert attached.done("print(ray.get(ray.put(42)))").printed == "42\n"


# --- jobs ----------------------------------------------------------------


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_cell_runs_as_a_job_with_its_output_and_without_rays_own_words(kernel: Kernel, kuberay: CommandLine) -> None:
    ran = kernel.done(f"%%kuberay job hello --cluster {NAME}\nimport os\nprint('in a job', os.path.basename(__file__))")
    assert ran.printed == "in a job cell.py\n"
    assert "Succeeded" in ran.result["text/html"] and "Succeeded" in ran.result["text/plain"]
    assert kuberay("job", "hello").out.startswith("in a job cell.py\n")
    assert "hello" in kernel.done("%kuberay jobs").result["text/html"]
    assert kernel.done("%kuberay stop hello -o json").result["text/plain"].count("'gone': True") == 1


def test_a_job_that_fails_ends_the_cell_with_its_last_line_and_a_hint(kernel: Kernel) -> None:
    ran = kernel(f"%%kuberay job wrong --cluster {NAME}\nraise ValueError('it is 4711')")
    assert ran.error is not None and ran.error[0] == "Failed" and len(ran.error[1]) == 2
    assert "ValueError: it is 4711" in ran.error[1][0] and "ValueError: it is 4711" in ran.printed
    kernel.done("%kuberay stop wrong")


COUNTS = """
import os, time
while not os.path.exists({go!r}):
    print("waits", flush=True)
    time.sleep(0.2)
print("went on")
"""


def test_ctrl_c_stops_following_a_job_and_says_how_to_go_on_or_to_stop_it(kernel: Kernel, tmp_path: Path) -> None:
    def when_it_prints(ran: Ran) -> bool:
        if "waits" in ran.printed:
            kernel.interrupt()
        return "waits" in ran.printed

    ran = kernel(f"%%kuberay job counts --cluster {NAME}\n{COUNTS.format(go=str(tmp_path / 'go'))}", when_it_prints)
    assert ran.error is not None and ran.error[0] == "Interrupted"
    assert "%kuberay job counts" in ran.error[1][0] and "%kuberay stop counts" in ran.error[1][0]
    (tmp_path / "go").touch()
    assert kernel.done("%kuberay job counts").printed.endswith("went on\n")
    kernel.done("%kuberay stop counts")


def test_a_job_goes_on_when_its_kernel_is_killed_and_anybody_can_follow_it(
    alice: Said, kuberay: CommandLine, tmp_path: Path, write: Callable[..., Path]
) -> None:
    (tmp_path / "mine.py").write_text("ANSWER = 42\n")
    go = str(tmp_path / "go")
    with started(kuberay, tmp_path) as kernel:
        cell = f"%%kuberay job outlives --cluster {NAME} --no-wait\nimport mine\n{COUNTS.format(go=go)}print(mine.ANSWER)"
        assert "%kuberay job outlives" in kernel.done(cell).printed
        os.kill(kernel.pid, signal.SIGKILL)
    with kuberay.start("job", "outlives") as process:
        assert process.stdout is not None and process.stdout.readline() == "waits\n"
        Path(go).touch()
        assert "went on\n42\n" in process.stdout.read()
        process.wait()
    assert process.returncode == 0
    assert kuberay("stop", "outlives").code == 0


# --- a connection that drops ---------------------------------------------

RELAYED = f"""
import asyncio, threading
from contextlib import asynccontextmanager
from functools import partial
from jupyter_kuberay.attach import attach
from jupyter_kuberay.backends.base import CLIENT_PORT
from jupyter_kuberay.cluster import default_client
from jupyter_kuberay.loop import run_sync

client, writers = default_client(), []

async def pump(reader, writer):
    writers.append(writer)
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()

async def relay(at):
    async def serve(reader, writer):
        there = await asyncio.open_connection(at.host, at.port)
        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))
    return await asyncio.start_server(serve, "127.0.0.1", 0)

@asynccontextmanager
async def reach(port):
    global server
    async with client.reach({NAME!r}, port) as at:
        if port != CLIENT_PORT:
            yield at
            return
        server = await relay(at)
        yield at.model_copy(update={{"host": "127.0.0.1", "port": server.sockets[0].getsockname()[1]}})

async def drop():
    server.close()
    for writer in writers:
        writer.transport.abort()

import ray, time
attachment = attach(reach, {NAME!r})
refs = [ray.put(1)]
counter = ray.remote(num_cpus=0)(type("Counter", (), {{"add": lambda self: 1}})).remote()
kept = 4711
"""
DROP = "run_sync(drop())\nwhile attachment.alive: time.sleep(0.1)"


def test_a_dropped_connection_is_said_before_the_next_cell_with_what_went_with_it_and_how_to_go_on(
    alice: Said, kuberay: CommandLine, tmp_path: Path
) -> None:
    with started(kuberay, tmp_path) as kernel:
        kernel.done(RELAYED)
        kernel.done(DROP)
        ran = kernel.done("print(kept)")
        (said,) = ran.shown
        assert f"The connection to cluster '{NAME}' was lost at " in said["text/plain"] and "counter, refs." in said["text/plain"]
        assert f"%kuberay attach {NAME}" in said["text/html"] and "ray.get_actor(name)" in said["text/html"]
        assert ran.printed == "4711\n"
        assert kernel.done("print(kept)").shown == []  # said once
        kernel.done(f"%kuberay attach {NAME}")
        assert kernel.done("print(ray.get(ray.put(42)))").printed == "42\n"


def test_where_it_is_set_a_kernel_attaches_again_by_itself_and_finds_its_detached_actors(
    alice: Said, kuberay: CommandLine, tmp_path: Path
) -> None:
    configuration = Path(kuberay.environment["JUPYTER_CONFIG_DIR"], "jupyter_kuberay_config.json")
    configuration.write_text('{"KubeRay": {"auto_attach": true}}')
    try:
        with started(kuberay, tmp_path) as kernel:
            kernel.done(RELAYED)
            kernel.done("""
@ray.remote(num_cpus=0)
class Keeper:
    def answer(self): return 42
ray.get(Keeper.options(name="keeper", lifetime="detached").remote().answer.remote())
""")
            kernel.done(DROP)
            ran = kernel.done("keeper = ray.get_actor('keeper')\nprint(ray.get(keeper.answer.remote()))\nray.kill(keeper)")
            # Attaching may take long enough for the tasks' progress to be shown, too.
            (said,) = [each for each in ran.shown if "was lost at " in each["text/plain"]]
            assert "and it is attached again" in said["text/plain"] and ran.printed == "42\n"
    finally:
        configuration.unlink()
