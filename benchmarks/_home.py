"""A place of the benchmark's own, so that nobody's clusters are touched and nothing is left."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def own_home() -> Iterator[Path]:
    """A new data directory for this process and those that it starts, for as long as the context lasts."""
    with tempfile.TemporaryDirectory(prefix="jk-bench-") as folder:
        before = {name: os.environ.get(name) for name in ("JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR")}
        os.environ.update({name: os.path.join(folder, name.split("_")[1].lower()) for name in before})
        try:
            yield Path(folder)
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
