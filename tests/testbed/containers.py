"""containerd, as its own command line asks it: what Kubernetes left behind, and images."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from . import oci
from .components import COMPONENTS
from .configuration import SOCKET
from .places import TestbedError
from .processes import wait_for


def ctr(*arguments: str) -> str:
    """What containerd answers, in the namespace that Kubernetes uses."""
    done = _quietly(*arguments)
    if done.returncode:
        raise TestbedError(f"ctr {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def sweep() -> bool:
    """Remove every container with what it wrote; whether there were any."""
    left = _kept()

    def none_is_left() -> bool:
        # Kubernetes' part of containerd clears up at the same time, so that one or another is gone when its turn comes.
        for kind, names in _kept().items():
            _quietly(kind, "delete", *(["--force"] if kind == "tasks" else []), *names)
        return not _kept()

    if left:
        wait_for("the end of the containers", none_is_left, 30)
    return bool(left)


def _kept() -> dict[str, list[str]]:
    """Tasks, which run, and containers, which are what ran; nothing where there are none."""
    found = {kind: ctr(kind, "list", "--quiet").split() for kind in ("tasks", "containers")}
    return {kind: names for kind, names in found.items() if names}


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


def _quietly(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(_ctr(*arguments), capture_output=True, text=True, check=False)


def _ctr(*arguments: str) -> list[str]:
    return ["ctr", f"--address={SOCKET}", "--namespace=k8s.io", *arguments]
