"""One of the processes that train a model together, as the loop sees it: Ray Train's, a trial's, or a plain one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jupyter_kuberay.lifecycle._run import Json

if TYPE_CHECKING:
    import torch


def _in_silence(_: Any) -> None:
    pass


@dataclass(frozen=True)
class Worker:
    """The ``rank``-th of ``world``. What it is asked to tell, only the first one tells."""

    rank: int = 0
    world: int = 1
    beside: int = 1  # workers on this node, itself included: they share its cores
    wrap: Callable[[torch.nn.Module], torch.nn.Module] | None = None  # makes a model average its gradients with the others'
    report: Callable[[Json], None] = _in_silence  # after each epoch, in all workers
    say: Callable[[str], None] = _in_silence

    @property
    def first(self) -> bool:
        return self.rank == 0

    def tell(self, line: str) -> None:
        if self.first:
            self.say(line)

    def agreed(self, value: Any) -> Any:
        """The first worker's ``value``, for all of them."""
        if self.world == 1:
            return value
        import torch.distributed as dist

        held = [value]
        dist.broadcast_object_list(held, src=0)
        return held[0]

    def any_of(self, value: Any) -> Any:
        """The first ``value`` of all workers' that is not None, for all of them."""
        if self.world == 1:
            return value
        import torch.distributed as dist

        found: list[Any] = [None] * self.world
        dist.all_gather_object(found, value)
        return next((each for each in found if each is not None), None)

    def sums(self, values: list[float], device: torch.device) -> list[float]:
        """Each of ``values``, added up over all workers."""
        if self.world == 1:
            return values
        import torch
        import torch.distributed as dist

        summed = torch.tensor(values, dtype=torch.float64, device=device)
        dist.all_reduce(summed)
        return [float(value) for value in summed]
