"""What tests may do to the bed, and see of it."""

from __future__ import annotations

import json
import sys
from typing import Any

from . import audit, node
from .components import COMPONENTS, ETCD

_POST = """
import json, sys, urllib.request
address, body = sys.argv[1:]
print(urllib.request.urlopen(urllib.request.Request(address, data=body.encode(), method="POST"), timeout=10).read().decode())
"""


class Testbed:
    """The bed in a test's hands; what it ends is started again after the test."""

    __test__ = False

    etcd = COMPONENTS["etcd"]
    apiserver = COMPONENTS["apiserver"]
    scheduler = COMPONENTS["scheduler"]
    kubelet = COMPONENTS["kubelet"]
    operator = COMPONENTS["operator"]

    requests = staticmethod(audit.requests)

    def compact(self) -> int:
        """Let etcd forget everything but the present; returns the revision before which nothing is known any more."""
        now = int(self._etcd("kv/range", {"key": "Lw=="})["header"]["revision"])
        self._etcd("kv/compaction", {"revision": str(now), "physical": True})
        return now

    @staticmethod
    def _etcd(path: str, body: dict[str, object]) -> Any:
        return json.loads(node.run(sys.executable, "-I", "-c", _POST, f"{ETCD}/v3/{path}", json.dumps(body)))
