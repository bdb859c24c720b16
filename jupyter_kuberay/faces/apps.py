"""The command that publishes what a cell defines."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from jupyter_kuberay.faces import options
from jupyter_kuberay.faces.commands import command
from jupyter_kuberay.faces.face import Face, WrongUse
from jupyter_kuberay.faces.models import SECTION, publish_application, publishing


@dataclass(frozen=True)
class CellApplication:
    """A cell's Serve application: its files, and where the application is in them."""

    files: Mapping[str, bytes]
    module: str
    variable: str

    @contextmanager
    def written(self) -> Iterator[str]:
        """As "file.py:variable" while the context lasts."""
        with tempfile.TemporaryDirectory(prefix="jupyter-kuberay-app-") as folder:
            for path, content in self.files.items():
                target = Path(folder, path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            yield f"{Path(folder, self.module)}.py:{self.variable}"


@command(SECTION)
@click.argument("name", shell_complete=options.service_names)
@click.option(
    "--app", "variable", default="app", show_default=True, metavar="VARIABLE", help="Which of the cell's variables is the application."
)
@click.option("--no-publish", is_flag=True, help="Run the cell and keep it: publish NAME publishes it later.")
@publishing
def app(face: Face, name: str, variable: str, no_publish: bool, **rest: Any) -> Any:
    """Publish the Serve application that a cell defines.

    The cell below %%kuberay app runs here first, so that its errors show. Its
    source goes to the service, with the person's own modules that it imports;
    what other cells have defined does not.
    """
    from jupyter_kuberay.faces.cells import packed

    if face.cell is None:
        raise WrongUse(
            "No application is there.",
            "It is the cell below: %%kuberay app NAME. Of a file: jupyter kuberay publish NAME --app FILE.py:app",
        )
    module = f"{re.sub('[^A-Za-z0-9]', '_', name)}_app"
    files = packed(face.cell, f"{module}.py", face.defined())
    value = face.run_cell(variable)
    if type(value).__name__ == "Deployment" and type(value).__module__.startswith("ray.serve"):
        raise WrongUse(f"{variable!r} is a deployment, not an application yet.", f"Bind it: {variable} = {value.name}.bind().")
    made = CellApplication(files, module, variable)
    face.applications[name] = made
    if no_publish:
        face.say(f"Publish it: {face.program} publish {name}")
        return None
    return publish_application(face, name, **rest)
