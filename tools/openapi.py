"""Write docs/openapi.json, the REST interface's description: ``python tools/openapi.py``."""

from __future__ import annotations

import json
from pathlib import Path

from jupyter_kuberay.faces.server.openapi import description

if __name__ == "__main__":
    path = Path(__file__).parents[1] / "docs" / "openapi.json"
    path.write_text(json.dumps(description(), indent=2, ensure_ascii=False) + "\n")
    print(path)
