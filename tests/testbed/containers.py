"""containerd, as its own command line asks it: what Kubernetes left behind, and images."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from . import oci
from .components import COMPONENTS
from .configuration import SOCKET
from .places import TestbedError


def ctr(*arguments: str) -> str:
    """What containerd answers, in the namespace that Kubernetes uses."""
    done = subprocess.run(_ctr(*arguments), capture_output=True, text=True, check=False)
    if done.returncode:
        raise TestbedError(f"ctr {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def sweep() -> bool:
    """Remove every container with what it wrote; whether there were any."""
    containers = ctr("containers", "list", "--quiet").split()
    if tasks := ctr("tasks", "list", "--quiet").split():
        ctr("tasks", "delete", "--force", *tasks)
    if containers:
        ctr("containers", "delete", *containers)
    return bool(containers)


def start() -> None:
    """Start containerd, without what a bed that ended in a crash has left in it."""
    containerd = COMPONENTS["containerd"]
    containerd.start()
    if sweep():
        containerd.stop()  # it remembers them until it starts again
        containerd.start()


def images() -> list[str]:
    return ctr("images", "list", "--quiet").split()


def import_image(name: str, layers: Sequence[oci.Layer], config: Mapping[str, Any]) -> None:
    """Make an image of ``layers`` and load it as ``name``."""
    with subprocess.Popen(_ctr("images", "import", "-"), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as loading:
        assert loading.stdin is not None
        oci.write(loading.stdin, name, layers, config)
        loading.stdin.close()
    if loading.returncode:
        raise TestbedError(f"The image {name} could not be loaded.")


def name_image(known: str, name: str) -> None:
    """Let an image be known as ``name``, too."""
    ctr("images", "tag", "--force", known, name)


def forget(*names: str) -> None:
    if names:
        ctr("images", "remove", *names)


def _ctr(*arguments: str) -> list[str]:
    return ["ctr", f"--address={SOCKET}", "--namespace=k8s.io", *arguments]
