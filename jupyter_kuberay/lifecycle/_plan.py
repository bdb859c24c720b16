"""Which rows each step of each worker takes, and how fast it learns from them: both follow from settings, so a resumed run has the same."""

from __future__ import annotations

from collections.abc import Sequence

_ALIKE = 25  # batches among which documents are put together by length


class Plan:
    """Of a training on documents of these ``lengths`` (in tokens)."""

    def __init__(self, lengths: Sequence[int], batch_size: int, world: int, epochs: int) -> None:
        self.lengths = lengths
        self.together = batch_size * world
        self.world = world
        self.steps = max(1, len(lengths) // self.together)  # an epoch
        self.total = self.steps * epochs

    def batches(self, epoch: int, rank: int, seed: int) -> list[list[int]]:
        """Another order in each epoch, the same on all workers, of which each takes its part.

        Documents of like length come together, because a batch is padded to its longest; which these are is a matter of
        chance, among `_ALIKE` batches at a time.
        """
        import torch

        chance = torch.Generator().manual_seed(1000 * seed + epoch)
        order = torch.randperm(len(self.lengths), generator=chance).tolist()[: self.steps * self.together]
        stretch = _ALIKE * self.together
        alike = [sorted(order[at : at + stretch], key=self.lengths.__getitem__) for at in range(0, len(order), stretch)]
        batches = [part[at : at + self.together] for part in alike for at in range(0, len(part), self.together)]
        return [batches[at][rank :: self.world] for at in torch.randperm(len(batches), generator=chance).tolist()]

    def warmth(self, step: int) -> float:
        """The learning rate's share: rising for a twentieth of the time, then falling to almost nothing."""
        rising = max(1, self.total // 20)
        return min((step + 1) / rising, max(0.02, (self.total - step) / max(1, self.total - rising)))
