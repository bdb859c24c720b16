"""How long HTTP requests to a service took, read from what Ray exports for Prometheus. Pure.

Ray 2.58 has ``ray_serve_http_request_latency_ms``, a cumulative histogram by
application, route, method and status code; the sum of its ``+Inf`` buckets is
the number of requests. Health checks are in it under an application called "".

Source: Prometheus' text format 0.0.4, and how its ``histogram_quantile`` interpolates.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping

_BUCKETS = "ray_serve_http_request_latency_ms_bucket"

# How many requests took at most so many milliseconds, by that bound; the bound `math.inf` has all of them.
Buckets = Mapping[float, float]


def read(text: str) -> Buckets | None:
    """The requests that a node's proxies have answered since their start, health checks apart; None where the text tells nothing of any.

    ValueError when what it tells is malformed.
    """
    from prometheus_client.parser import text_string_to_metric_families

    # Of some hundred KB a few lines are ours, and parsing is slow.
    lines = [line for line in text.split("\n") if line.startswith(_BUCKETS)]
    if not lines:
        return None
    found = {math.inf: 0.0}
    for family in text_string_to_metric_families("\n".join(lines) + "\n"):
        for sample in family.samples:
            if sample.labels.get("application"):
                bound = float(sample.labels.get("le", ""))
                found[bound] = found.get(bound, 0.0) + sample.value
    return found


def total(each: Iterable[Buckets]) -> Buckets:
    """Those of several nodes together."""
    found: defaultdict[float, float] = defaultdict(float)
    for buckets in each:
        for bound, count in buckets.items():
            found[bound] += count
    return dict(found)


def since(earlier: Buckets, later: Buckets) -> Buckets | None:
    """What came between two moments; None where less is there than was, because something was started anew."""
    between = {bound: count - earlier.get(bound, 0.0) for bound, count in later.items()}
    lost = any(count < 0 for count in between.values()) or any(count and bound not in later for bound, count in earlier.items())
    return None if lost else between


def requests(buckets: Buckets) -> float:
    """How many there are."""
    return buckets.get(math.inf, 0.0)


def quantile(buckets: Buckets, share: float) -> float | None:
    """The milliseconds within which this ``share`` (from 0 to 1) of the requests was answered; None where there was none.

    Within a bucket they are taken for evenly spread; of what took longer than the last bound, that bound is told.
    """
    if not requests(buckets):
        return None
    rank, below, counted = share * requests(buckets), 0.0, 0.0
    for bound in sorted(buckets):
        count = buckets[bound]
        if count >= rank and count > counted:
            return below if math.isinf(bound) else below + (bound - below) * (rank - counted) / (count - counted)
        below, counted = (below if math.isinf(bound) else bound), count
    return below
