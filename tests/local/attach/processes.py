"""Which of Ray's processes are there."""

import os

import psutil

from jupyter_kuberay.attach import Attachment


def rays_of_this_process() -> list[str]:
    """Ray's processes that this one, or a child of it, has started."""
    return [child.name() for child in psutil.Process(os.getpid()).children(recursive=True) if child.name() in ("raylet", "gcs_server")]


def client_server(attachment: Attachment) -> psutil.Process:
    """The process of a cluster's head that lets Ray's clients in; the head ends when it does."""
    port = attachment.address.rpartition(":")[2]
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "jupyter_kuberay.backends.local.clients" in command and f"--port={port}" in command:
            return process
    raise LookupError(f"no process serves port {port}")
