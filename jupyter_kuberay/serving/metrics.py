"""What a replica counts, by revision, as Prometheus metrics at Ray's own exporter, where each name begins with ``ray_``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jupyter_kuberay.serving.batching import Batch

_PREFIX = "jupyter_kuberay_"
_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]
_SIZES = [1, 2, 4, 8, 16, 32, 64, 128, 256]
_TOKENS = [16, 32, 64, 128, 256, 512, 1024, 4096, 16384, 65536]
_SHARES = [0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75]


class Metrics:
    """Of one replica. ``revision`` is set by whoever changes it, and is then told with all that follows."""

    def __init__(self, application: str, deployment: str) -> None:
        from ray.util.metrics import Counter, Gauge, Histogram

        self._tags = {"application": application, "deployment": deployment, "revision": ""}
        keys = tuple(self._tags)

        def counter(name: str, description: str, *more: str) -> Any:
            return Counter(_PREFIX + name, description, tag_keys=(*keys, *more))

        def histogram(name: str, description: str, boundaries: Sequence[float]) -> Any:
            return Histogram(_PREFIX + name, description, boundaries=list(boundaries), tag_keys=keys)

        self._requests = counter("requests", "Requests, by the status of their answer.", "status")
        self._errors = counter("errors", "Requests that the service failed to answer: a status of 500 or more.")
        self._seconds = histogram("request_seconds", "How long requests took in the replica, in seconds.", _SECONDS)
        self._queue = Gauge(_PREFIX + "queue_length", "Texts that wait in the replica to be computed.", tag_keys=keys)
        self._batch = histogram("batch_size", "Texts in a batch.", _SIZES)
        self._batch_seconds = histogram("batch_seconds", "How long batches took to compute, in seconds.", _SECONDS)
        self._padding = histogram("padding_share", "The share of a batch's tokens that is padding, from 0 to 1.", _SHARES)
        self._length = histogram("input_length", "Tokens of each text, or of each piece of a long one.", _TOKENS)
        self._lost = counter("request_log_lost", "Rows that the request log could not keep, by reason.", "reason")

    def revision(self, revision: object) -> None:
        """From now on count for ``revision``. What waited for the one before waits no longer."""
        self._queue.set(0, tags=self._tags)
        self._tags = {**self._tags, "revision": str(revision)}

    def request(self, status: int, seconds: float) -> None:
        """One request was answered."""
        self._requests.inc(tags={**self._tags, "status": str(status)})
        self._seconds.observe(max(seconds, 1e-6), tags=self._tags)
        if status >= 500:
            self._errors.inc(tags=self._tags)

    def text(self, length: int) -> None:
        """One text has so many tokens."""
        self._length.observe(length, tags=self._tags)

    def batch(self, batch: Batch) -> None:
        """One batch was computed."""
        self._batch.observe(batch.size, tags=self._tags)
        self._batch_seconds.observe(batch.seconds, tags=self._tags)
        self._padding.observe(batch.padded, tags=self._tags)
        self._queue.set(batch.waiting, tags=self._tags)

    def lost(self, reason: str, rows: int = 1) -> None:
        """Rows of the request log were not kept."""
        self._lost.inc(rows, tags={**self._tags, "reason": reason})
