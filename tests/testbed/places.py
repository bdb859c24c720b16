"""Where the testbed keeps its things, and the addresses that it takes."""

from __future__ import annotations

import os
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jupyter-kuberay" / "testbed"
BUILT = CACHE / "built"  # what was made from sources, each by the hash of what it was made from
BIN = CACHE / "bin"  # the programs in use, under the names that they are called by
STORE = CACHE / "containerd"  # images; they outlive the bed
RUN = CACHE / "run"  # all else of the bed that is up; gone with it
LOGS = RUN / "log"
PKI = RUN / "pki"

# From 198.18.0.0/15, which RFC 2544 keeps for tests of networks: no site routes it, and podman, kind and k3s take others.
HOST_ADDRESS = "198.18.0.1"  # this machine, as the node and its pods see it
NODE_ADDRESS = "198.18.0.2"  # the node, as this machine and the pods see it: API server, DNS, kubelet
LINK_CIDR_LENGTH = 30
POD_CIDR = "198.18.128.0/17"
SERVICE_CIDR = "198.19.0.0/16"
API_SERVICE_ADDRESS = "198.19.0.1"
API = f"https://{NODE_ADDRESS}:6443"

NODE = "node1"


class TestbedError(Exception):
    """The testbed could not do it; the message says what and where to look."""

    __test__ = False  # pytest takes what begins with Test for a test


class Missing(TestbedError):
    """This machine lacks something that the testbed needs."""
