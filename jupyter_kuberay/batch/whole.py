"""What a job carries of this package is a part. Where the image has the same version whole, that is what runs."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder
from importlib.metadata import distributions
from pathlib import Path

from jupyter_kuberay.batch.running import DISTRIBUTION

_PACKAGE = "jupyter_kuberay"


def give_way() -> None:
    """Begin this program anew with the package that is installed, if that is the same version.

    Publishing, the client and the backends are not carried: they are twice what a job can carry.
    """
    if is_whole(Path.cwd(), sys.path):
        os.execv(sys.executable, sys.orig_argv)


def is_whole(folder: Path, path: Sequence[str]) -> bool:
    """Remove what ``folder`` carries of this package if ``path`` leads to the same version elsewhere; whether it did."""
    carried = folder / _PACKAGE
    if not carried.is_dir():
        return False
    elsewhere = [each for each in path if Path(each or ".").resolve() != folder.resolve()]
    ours = next(iter(distributions(name=DISTRIBUTION, path=[str(folder)])), None)
    installed = next(iter(distributions(name=DISTRIBUTION, path=elsewhere)), None)
    if ours is None or installed is None or installed.version != ours.version:
        return False
    # What says that it is installed may have outlived it.
    if PathFinder.find_spec(_PACKAGE, elsewhere) is None:
        return False
    for left in (carried, *folder.glob(f"{_PACKAGE}-*.dist-info")):
        shutil.rmtree(left)
    return True
