"""What this machine answers when it is examined; `jupyter_kuberay.doctor` says what it means."""

from __future__ import annotations

from dataclasses import dataclass

from jupyter_kuberay.errors import KubeRayError


@dataclass(frozen=True)
class Disk:
    """Of a file system, in bytes."""

    free: int
    size: int


@dataclass(frozen=True)
class Answers:
    """All answers; an error where something does not work."""

    data_dir: str
    data: Disk | KubeRayError  # where the data directory lies, if it can be written to
    temporary_dir: str
    temporary: Disk | KubeRayError  # where Ray's temporary files and spilled objects lie
    memory: int  # bytes that new processes can have
    head_memory: int  # bytes that a head needs
    worker_memory: int
    proc: bool  # whether the system tells about processes in /proc
    ray: str | KubeRayError  # its version, as a Python that imports it says
    ports: int | KubeRayError  # the first of a free block
    gpus: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()  # resources whose supervisors are at work, such as "RayCluster 'ada'"
    orphans: tuple[str, ...] = ()  # those whose supervisors died
    strays: tuple[int, ...] = ()  # process ids of supervisors whose resources are gone
