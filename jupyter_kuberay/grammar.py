"""`import ray` without the second that a grammar takes which hardly anybody uses: docs/decisions/0032-start-time.md."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

SHIM = Path(__file__).parent / "backends" / "local" / "shim"  # what stands in for the grammar until it is used


def delay() -> None:
    """Call it before the first `import ray` of a process; later it does nothing."""
    if {"jsonschema", "rfc3987_syntax"} & sys.modules.keys() or not find_spec("jsonschema") or not find_spec("rfc3987_syntax"):
        return
    sys.path.insert(0, str(SHIM))
    try:
        import jsonschema  # type: ignore[import-untyped]  # noqa: F401 - it asks for the grammar, and keeps what it is given
    finally:
        sys.path.remove(str(SHIM))
