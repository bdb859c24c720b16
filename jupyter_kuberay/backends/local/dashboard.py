"""Ray's dashboard, whose modules are forked from one process that has imported them all.

    python -P -m jupyter_kuberay.backends.local.dashboard RAYS_SCRIPT [ARGUMENT ...]

Ray starts nine processes for its dashboard, each of which imports the same second of Python, and a head's raylet waits for all of
them. Python's fork server imports it once. docs/decisions/0032-start-time.md has the numbers, and why forking is safe here.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing import forkserver
from pathlib import Path

_SCRIPT, _TEMP = os.path.join("dashboard", "dashboard.py"), "--temp-dir="


def forking(command: Sequence[str]) -> list[str]:
    """Ray's command for its dashboard, made one that forks; as it is where it is none that we know. Pure."""
    plain = len(command) > 1 and command[1].endswith(_SCRIPT)
    return [command[0], "-P", "-m", __name__, *command[1:]] if plain else list(command)


def main(script: str, arguments: Sequence[str]) -> None:
    """Run Ray's script with its modules forked."""
    # The fork server's socket goes with Ray's temporary files, however its end comes.
    tempfile.tempdir = next((given.removeprefix(_TEMP) for given in arguments if given.startswith(_TEMP)), None)
    forkserver.set_forkserver_preload(["ray.dashboard.head", "ray.dashboard.subprocesses.module", *_modules(Path(script).parent)])
    forkserver.ensure_running()  # now, so that it imports while this process does
    from ray.dashboard.subprocesses.handle import SubprocessModuleHandle

    SubprocessModuleHandle.mp_context = multiprocessing.get_context("forkserver")
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")


def _modules(dashboard: Path) -> list[str]:
    """Names of what a module of the dashboard begins with."""
    return [f"ray.dashboard.modules.{path.parent.name}.{path.stem}" for path in sorted((dashboard / "modules").glob("*/*_head.py"))]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
