"""Stands before the package of this name on the path of Ray's processes, and loads it when it is used.

`import ray` imports jsonschema, which imports rfc3987_syntax where Jupyter has installed it,
which compiles a grammar for over a second: in each of a dozen processes, before any of them is
ready. Hardly any of them ever checks a URI. docs/decisions/0032-start-time.md has the numbers.
"""

from __future__ import annotations

import importlib
import os
import sys
from importlib.machinery import PathFinder
from typing import Any

_HERE = os.path.dirname(os.path.abspath(__file__))


def _elsewhere() -> list[str]:
    return [entry for entry in sys.path if os.path.abspath(entry) != _HERE]


if PathFinder.find_spec(__name__, _elsewhere()) is None:
    raise ImportError(f"No module named {__name__!r}")  # as if this file were not here


def is_valid_syntax(term: str, value: str) -> Any:
    return _real().is_valid_syntax(term, value)


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return getattr(_real(), name)


def _real() -> Any:
    """The real package; from then on it is what importing gives."""
    path, own = sys.path[:], sys.modules.pop(__name__, None)
    sys.path[:] = _elsewhere()
    try:
        return importlib.import_module(__name__)
    except ImportError:
        if own is not None:
            sys.modules[__name__] = own
        raise
    finally:
        sys.path[:] = path
