"""One cluster, one kernel and one folder for all pages of docs/ and the tour."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_kuberay.backends.local.processes import marked
from tests.local.faces.conftest import CommandLine

from .reader import Reader, reading

NAME = "alice-1"  # as the pages call it


@pytest.fixture(scope="package")
def kuberay() -> Iterator[CommandLine]:
    """The command line in folders of these tests, with the pages' cluster up; nothing is left of it."""
    home = Path(tempfile.mkdtemp(prefix="jkg", dir="/tmp"))  # short: Ray's sockets lie below it
    for folder in ("config", "work"):
        (home / folder).mkdir()
    made = CommandLine(home)
    try:
        said = made("up", NAME, "--workers", "1")
        assert said.code == 0, said.err
        yield made
    finally:
        uids = [kept.uid for kind in ("RayService", "RayJob", "RayCluster") for kept in made.backend.store.all(kind)]
        for kind, verb in (("services", "unpublish"), ("jobs", "stop"), ("list", "down")):
            if names := [one["name"] for one in made(kind, "-o", "json").json]:
                made(verb, "--yes", *names)
        assert not [process for uid in uids for process in marked(uid)], "processes are left"
        shutil.rmtree(home)


@pytest.fixture(scope="package")
def reader(kuberay: CommandLine) -> Iterator[Reader]:
    with reading(kuberay.home / "work", kuberay.environment) as made:
        yield made
