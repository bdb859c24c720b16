"""Whether the API server of any KubeRay that we work with would take a manifest, without one: see tools/crd_schema.py."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker, ValidationError
from jsonschema.validators import extend

KUBERAY = ("1.5.1", "1.6.1")
DATA = Path(__file__).parent / "data"


def violations(manifest: dict[str, Any], versions: tuple[str, ...] = KUBERAY) -> list[str]:
    """What is wrong with a RayCluster, RayService or RayJob: a sentence each, with the path; none when all ``versions`` take it."""
    kind = manifest.get("kind")
    if kind not in ("RayCluster", "RayService", "RayJob"):
        return [f"kind: {kind!r} is none of ours"]
    # A manifest travels as JSON: a tuple, a non-string key or NaN would not arrive.
    arrived = json.loads(json.dumps(manifest, allow_nan=False))
    errors = [error for version in versions for error in _validator(version, kind).iter_errors(arrived)]
    return sorted({f"{error.json_path.removeprefix('$.')}: {error.message[:300]}" for error in errors})


@cache
def _validator(version: str, kind: str) -> Any:
    schema = json.loads((DATA / f"kuberay-{version}" / f"{kind.lower()}.json").read_text())
    return _Validator(schema, format_checker=FormatChecker(["date-time"]))


def _unique_keys(_: Any, keys: list[str], items: Any, __: Any) -> Iterator[ValidationError]:
    """Two items of a list with the same keys: the API server merges or refuses them."""
    if not isinstance(items, list):
        return
    seen: set[tuple[Any, ...]] = set()
    for item in items:
        # protocol is the only key of such a list that may be left out, for its default.
        values = tuple(item.get(key, "TCP" if key == "protocol" else None) for key in keys)
        if values in seen:
            yield ValidationError(f"{dict(zip(keys, values, strict=True))} occurs twice")
        seen.add(values)


def _pattern(_: Any, pattern: str, text: Any, __: Any) -> Iterator[ValidationError]:
    """As in Go, where ``$`` does not match before a last line break."""
    if isinstance(text, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), text):
        yield ValidationError(f"{text!r} does not match {pattern!r}")


_Validator = extend(Draft202012Validator, {"pattern": _pattern, "x-kubernetes-list-map-keys": _unique_keys})
