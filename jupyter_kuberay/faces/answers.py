"""What commands return that is no status: a list, what was removed, what to paste, a manifest.

Statuses themselves are `jupyter_kuberay.status`'s models; everything here and
there is what ``-o json`` prints (docs/json.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from pydantic import BaseModel, ConfigDict

from jupyter_kuberay.observation import Bundle

if TYPE_CHECKING:
    from jupyter_kuberay.batch import RunRecord


class Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class Removed(Answer):
    """Something that was taken down."""

    name: str
    kind: str
    gone: bool  # False: it has begun to end


class Attaching(Answer):
    """How to attach a notebook to a cluster."""

    name: str
    code: str  # Python, to be pasted
    client: str = ""  # ray://host:port as seen from here; it asks for the cluster's token
    dashboard: str = ""  # http://host:port as seen from here


class NotebookRun(Answer):
    """A notebook that ran to its end."""

    notebook: str
    output: str  # the notebook with its outputs
    cells: int  # code cells that ran
    seconds: float
    cluster: str
    kept: bool  # whether the cluster is still there
    values: dict[str, Any] = {}  # what it recorded
    id: str = ""  # see `runs`

    @classmethod
    def of(cls, done: RunRecord, *, kept: bool) -> NotebookRun:
        return cls(
            notebook=done.notebook,
            output=done.output,
            cells=done.done,
            seconds=round(done.seconds, 3),
            cluster=done.cluster,
            kept=kept,
            values=dict(done.values),
            id=done.id,
        )


class Manifest:
    """A resource with what goes along."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    @property
    def objects(self) -> tuple[dict[str, Any], ...]:
        """Kubernetes objects, in the order in which they can be created."""
        return self.bundle.objects

    def __repr__(self) -> str:
        from jupyter_kuberay.faces.render import yaml_documents

        return yaml_documents(self.objects)


class Listing(Sequence[Any]):
    """Statuses or other answers, in order; shown as a table, with a sentence on what to do with it where there is one."""

    def __init__(self, what: str, items: Iterable[Any], how: str = "") -> None:
        self.what = what
        self.how = how
        self._items = tuple(items)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Any, ...]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def __repr__(self) -> str:
        from jupyter_kuberay.faces.render import plain

        return plain(self)

    def _repr_html_(self) -> str:
        from jupyter_kuberay.faces.render import html

        return html(self)
