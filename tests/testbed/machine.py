"""What this machine must have: Linux, root, Go for what is not built yet, and some programs of Debian's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from .places import Missing, TestbedError

INSTEAD = "or test on the cluster of your kubeconfig's current context: JUPYTER_KUBERAY_TEST_CLUSTER=current"

PACKAGES = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ethtool": "ethtool",
    "ip": "iproute2",
    "socat": "socat",
    "debootstrap": "debootstrap",
    "openssl": "openssl",
}


def check(builds: bool) -> None:
    """Raise Missing, in one sentence, if this machine cannot carry a testbed; ``builds`` when something has to be compiled first."""
    if not sys.platform.startswith("linux"):
        raise Missing(f"The testbed runs on Linux only: use such a machine, {INSTEAD}.")
    if os.geteuid() != 0:
        raise Missing(f"The testbed needs root, for containers and their networks: run it with sudo, {INSTEAD}.")
    if builds and not shutil.which("go"):
        raise Missing(f"The testbed is compiled with Go, which is not on the PATH: install it, {INSTEAD}.")
    if packages_to_install() and not shutil.which("apt-get"):
        raise Missing(f"The testbed needs Debian's packages {', '.join(packages_to_install())}: install what they hold, {INSTEAD}.")


def packages_to_install() -> list[str]:
    """Those whose programs are not there, by whatever way they might have come."""
    return sorted({package for program, package in PACKAGES.items() if not shutil.which(program) and not Path(program).exists()})


def install_packages() -> None:
    """Install what is missing, and remove nothing for it: Docker's own containerd will do, for instance."""
    if missing := packages_to_install():
        print(f"Installing {', '.join(missing)} …", flush=True)
        # Offline: the packages' own services stay down.
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "SYSTEMD_OFFLINE": "1"}
        for arguments in (["update"], ["install", "-y", "--no-remove", "--no-install-recommends", *missing]):
            done = subprocess.run(["apt-get", "-qq", *arguments], env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                raise TestbedError(f"apt-get {' '.join(arguments)} failed:\n{done.stderr.strip()}")
