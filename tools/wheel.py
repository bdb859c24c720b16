"""Hatch's hook: no wheel and no source distribution without a bundle that was made from the sources beside it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


def beside(name: str) -> Any:
    """A module of this folder, which is no package where a wheel is built."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Bundle(BuildHookInterface):  # type: ignore[type-arg]
    """Builds JupyterLab's half unless it is there already, and puts it where JupyterLab looks."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        # In a checkout the bundle is shown by a link (tools/setup.sh): a copy would be stale with the next change.
        if version == "editable":
            return
        root = Path(self.root)
        bundle = beside("bundle")
        try:
            bundle.build(root)
        except bundle.NotBuilt as why:
            self.app.abort(str(why))
        if wrong := bundle.problem(root):
            self.app.abort(wrong)
        if self.target_name == "wheel":
            shown = "share/jupyter/labextensions/jupyter-kuberay"
            build_data["shared_data"].update({str(bundle.BUNDLE): shown, "labextension/install.json": f"{shown}/install.json"})
