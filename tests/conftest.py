"""For all tests: which run side by side, and what none of them may depend on."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from tests.local.a_ray import what_is_left_of

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

# How long one example takes says more about the neighbours on this machine than about the code.
# The same code gives the same result. New examples are looked for by `make search`.
settings.register_profile("default", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# Whoever runs this in the background of a script has Ctrl-C ignored, in all that tests start, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

STARTS_RAY, STARTS_NOTHING = ("contract/", "local/"), ("local/test_backend_",)
# Half of the time that all of them take together. A folder or file stays in one lane: its tests share a cluster.
SECOND_LANE = (
    "local/faces/",
    "local/guide/",
    "local/test_faults",
    "local/test_serving",
    "ui/test_figures",
    "ui/test_kernel",
    "ui/test_scenario",
)


def lane(path: str) -> str:
    """Which of the two lanes that start Ray runs the tests in ``path``, relative to this folder."""
    return "ray-2" if path.startswith(SECOND_LANE) else "ray-1"


# First, because xdist reads the groups in the same hook.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two lanes of Ray: in each one cluster after the other (docs/decisions/0067)."""
    for item in items:
        path = item.path.relative_to(Path(__file__).parent).as_posix()
        if (path.startswith(STARTS_RAY) and not path.startswith(STARTS_NOTHING)) or item.get_closest_marker("ray"):
            item.add_marker(pytest.mark.ray)
            item.add_marker(pytest.mark.xdist_group(lane(path)))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: WorkerController, error: Any) -> None:
    """Say how a process with tests ended that was not to: xdist says only that it did, and Ray's last words are in a log."""
    if not error:
        return
    process = node.gateway._io.popen
    killed = ""
    with suppress(OSError):
        killed = next((line for line in Path("/proc/vmstat").read_text().splitlines() if line.startswith("oom_kill")), "")
    reporter = node.config.pluginmanager.get_plugin("terminalreporter")
    reporter.ensure_newline()
    reporter.write_line(f"{node.gateway.id} ended with exit code {process.wait(10)}; {killed} since this machine started.")
    reporter.write_line(what_is_left_of(process.pid))
