"""For all tests: which run side by side, and what none of them may depend on."""

from pathlib import Path

import pytest
from hypothesis import settings

# How long one example takes says more about the neighbours on this machine than about the code.
settings.register_profile("default", deadline=None)
settings.load_profile("default")

STARTS_RAY = {"contract", "local"}


# First, because xdist reads the groups in the same hook.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One Ray cluster at a time: two cores are not enough for more."""
    for item in items:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        if folder in STARTS_RAY or item.get_closest_marker("ray"):
            item.add_marker(pytest.mark.ray)
            item.add_marker(pytest.mark.xdist_group("ray"))
