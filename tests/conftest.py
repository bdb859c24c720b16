"""For all tests: which run side by side, and what none of them may depend on."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

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
