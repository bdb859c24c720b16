"""The panel, and its pieces to be placed where they are wanted.

>>> from jupyter_kuberay import ClusterPanel
>>> ClusterPanel()  # doctest: +SKIP
"""

from __future__ import annotations

from jupyter_kuberay.errors import InvalidSpec
from jupyter_kuberay.faces.widget.live import Live
from jupyter_kuberay.faces.widget.told import ALL, Scope


class ClusterPanel(Live):
    """All clusters and services of yours: create, attach, scale, suspend, resume, delete, publish; live.

    It shows what the JupyterLab panel shows, and works where a notebook is shown without that: in Notebook 7, in Voila.
    ``close()`` takes it away.
    """

    def __init__(self) -> None:
        super().__init__(Scope(), "panel")


class ClusterCard(Live):
    """One cluster by name, whether or not it is there yet.

    Raises
    ------
    InvalidSpec
        There is no name.
    """

    def __init__(self, name: str) -> None:
        super().__init__(Scope(cluster=_named(name, "cluster"), service=None), "cluster")


class ServiceCard(Live):
    """One service by name, with a box to try a request.

    Raises
    ------
    InvalidSpec
        There is no name.
    """

    def __init__(self, name: str) -> None:
        super().__init__(Scope(cluster=None, service=_named(name, "service")), "service")


class RunsTable(Live):
    """The runs of notebooks that this machine knows of, newest first, or those of one sweep or pipeline; cell by cell.

    Parameters
    ----------
    group
        Of which sweep or pipeline; default: all.
    """

    def __init__(self, group: str = "") -> None:
        super().__init__(Scope(cluster=None, service=None, runs=group or ALL), "runs")


def _named(name: object, what: str) -> str:
    if not isinstance(name, str) or not name or name == ALL:
        raise InvalidSpec(f"A card is of one {what}, and {name!r} is no name.", f"Give the {what}'s name, or take ClusterPanel().")
    return name
