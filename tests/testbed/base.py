"""The Debian that pods run on: the machine's own release, as small as debootstrap makes it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from .build import digest, made, remove
from .places import BUILT, TestbedError

# What KubeRay's probes and init containers call, and whoever looks into a pod; and what a Python that is copied here is linked to:
# Optuna keeps its study by sqlite3.
PACKAGES = ["ca-certificates", "curl", "libsqlite3-0", "procps", "wget"]
# As in rayproject/ray: pods run as a plain user.
USER, UID, HOME = "ray", 1000, "/home/ray"
RECIPE = b"1"


def base() -> Path:
    """The folder that holds it, made if need be."""
    packages = PACKAGES + (["python3"] if uses_debians_python() else [])
    target = BUILT / f"base-{digest(RECIPE, _release().encode(), *(package.encode() for package in packages))}"

    def make(folder: Path) -> None:
        print(f"Making a base of Debian's {_release()} for pods …", flush=True)
        _run("debootstrap", "--variant=minbase", f"--include={','.join(packages)}", _release(), str(folder), *_mirror())
        person = [f"--uid={UID}", "--gid=users", "--create-home", f"--home-dir={HOME}", "--shell=/bin/bash", USER]
        _run("chroot", str(folder), "useradd", *person)
        for waste in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale", "usr/share/man"):
            remove(folder / waste)

    return made(target, make)


def uses_debians_python() -> bool:
    """Whether this Python is a part of the system, and not a folder that can be copied."""
    return sys.base_prefix == "/usr"


def _release() -> str:
    """Of this machine, so that what runs here runs there."""
    for line in Path("/etc/os-release").read_text().splitlines():
        name, _, value = line.partition("=")
        if name == "VERSION_CODENAME":
            return value.strip('"')
    raise TestbedError("/etc/os-release names no release of Debian's or Ubuntu's (VERSION_CODENAME).")


def _mirror() -> list[str]:
    """Where this machine gets its packages from; debootstrap's own choice when apt does not tell."""
    if not shutil.which("apt-get"):
        return []
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", f"Codename: {_release()}", "Component: main"]
    found = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split()
    return found[:1]


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TestbedError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-2000:].strip()}")
