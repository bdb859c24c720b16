"""For tests that start nothing: none may touch what belongs to the person who runs them."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def a_home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, folder in {"JUPYTER_DATA_DIR": "data", "JUPYTER_CONFIG_DIR": "config", "JUPYTER_RUNTIME_DIR": "runtime"}.items():
        monkeypatch.setenv(variable, str(tmp_path / "home" / folder))
    for variable in ("JUPYTERHUB_USER", "JUPYTER_KUBERAY_CLUSTER"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What is said in Serve's log, which does not pass it on."""
    log = logging.getLogger("ray.serve")
    log.addHandler(caplog.handler)
    yield caplog
    log.removeHandler(caplog.handler)
