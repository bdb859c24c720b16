"""The command that tells what would keep a user from working."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from jupyter_kuberay.faces.commands import SECTIONS, command
from jupyter_kuberay.faces.face import Face
from jupyter_kuberay.loop import run_sync

if TYPE_CHECKING:
    from jupyter_kuberay.client import Client
    from jupyter_kuberay.doctor import Finding
    from jupyter_kuberay.observation import Bundle
    from jupyter_kuberay.preflight import Versions


@command(SECTIONS[-1])
@click.option("--try-out", is_flag=True, help="Also make a suspended cluster, see that KubeRay takes it, and take it away again.")
def doctor(face: Face, try_out: bool) -> Any:
    """Tell what would keep you from working, and what to do about it.

    Exit code 0 when nothing is bad, 1 otherwise. What is not yours to see is not
    bad. YAML below the table is to be given to an administrator.
    """
    from jupyter_kuberay.faces.report import Report

    with face.waiting("doctor") as told:
        told("Asking.", 0.0)
        return Report(run_sync(examined(face.client, try_out=try_out)))


async def examined(client: Client, *, try_out: bool = False) -> tuple[Finding, ...]:
    """What was found with this client's backend and profiles."""
    from importlib.metadata import PackageNotFoundError

    from jupyter_kuberay.backends.examine import examine
    from jupyter_kuberay.doctor import findings, offers
    from jupyter_kuberay.preflight import Versions

    try:
        kernel = Versions.here()
    except PackageNotFoundError:
        kernel = Versions()
    offered = offers(client.settings.offered(), kernel)
    claims = sorted({claim for offer in offered for claim in offer.claims})
    routes = {offer.route for offer in offered if offer.route}
    suspended = _suspended(client, kernel) if try_out else None
    answers = await examine(client.backend, claims=claims, routes=routes, try_out=suspended)
    return findings(answers, kernel, offered)


def _suspended(client: Client, kernel: Versions) -> Bundle:
    """A cluster of the default profile, of which nothing runs."""
    from jupyter_kuberay.manifest import cluster_bundle
    from jupyter_kuberay.spec import ClusterSpec

    fields = client.profile().cluster | {"name": f"doctor-{os.urandom(4).hex()}", "suspend": True}
    return cluster_bundle(ClusterSpec(**fields).resolved(kernel.ray, kernel.python_minor))
