"""What was lost with a connection, and what to do about it, in some sentences."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

_MOST_NAMES = 20


class Lost:
    """A connection that ended by itself; shown before the next cell."""

    def __init__(self, cluster: str, at: datetime | None, names: Iterable[str], *, again: bool = False, problem: str = "") -> None:
        self.cluster = cluster
        self.at = at
        self.names = tuple(names)
        self.again = again  # it is attached again already
        self.problem = problem  # why that was tried, and did not work

    @property
    def sentences(self) -> tuple[str, ...]:
        """What happened first, what to do last."""
        when = f" at {self.at:%H:%M:%S}" if self.at else ""
        told = [f"The connection to cluster {self.cluster!r} was lost{when}{', and it is attached again' if self.again else ''}."]
        if self.names:
            more = f" and {len(self.names) - _MOST_NAMES} more" if len(self.names) > _MOST_NAMES else ""
            listed = ", ".join(self.names[:_MOST_NAMES])
            told.append(f"What these hold on the cluster went with it: {listed}{more}.")
        if self.problem:
            told.append(f"It could not be attached again: {self.problem}")
        found = "Detached actors are found again by ray.get_actor(name)"
        told.append(f"{found}." if self.again else f"Attach again: %kuberay attach {self.cluster}. {found} then.")
        return tuple(told)

    def __repr__(self) -> str:
        return "\n".join(self.sentences)

    def _repr_html_(self) -> str:
        import html

        return f'<div style="border-left:3px solid #b06000;padding-left:0.6em">{"<br>".join(map(html.escape, self.sentences))}</div>'
