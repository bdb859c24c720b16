"""A whole pipeline run as one HTML page, which needs nothing else: no network, no scripts.

The page's policy (CSP) forbids scripts and everything from elsewhere, so that a
report can be passed on whatever its cells have printed; an interactive figure
is in the notebook, which each section links to. Each notebook is in a shadow
tree of its own, so that no output's styles reach the rest.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_kuberay.batch import table
from jupyter_kuberay.batch.graph import Node, svg
from jupyter_kuberay.batch.piping import PipelineRun, StepRun, StepState
from jupyter_kuberay.batch.places import Place
from jupyter_kuberay.errors import KubeRayError

if TYPE_CHECKING:
    from nbformat import NotebookNode

NAME = "report.html"
_HERE = Path(__file__).parent
_LONGEST_TEXT = 60_000  # characters of one output that are shown
_LONGEST_DATA = 5_000_000  # of a picture or of HTML, in base64 or as it is


_PAPERMILLS = "papermill-error-cell-tag"


@dataclass(frozen=True)
class Section:
    """A step as the page shows it."""

    run: StepRun
    mood: str
    time: str
    href: str  # of its notebook, "" where there is none
    html: str  # the notebook with its outputs
    missing: str  # why there is none


def write_report(run: PipelineRun, to: str | os.PathLike[str] = "") -> str:
    """Write the page of ``run``, by default to ``report.html`` in the pipeline's output; gives its path or URL.

    Raises
    ------
    Unwritable
        It cannot be written there.
    """
    place = Place.of(to) if to else Place.of(run.output).child(NAME)
    place.write(report(run, _outputs(run)).encode("utf-8", "replace"))
    return place.url


def report(run: PipelineRun, notebooks: Mapping[str, bytes | KubeRayError]) -> str:
    """The page.

    Parameters
    ----------
    notebooks
        By step, those with outputs that are there, or why one cannot be read.
    """
    from jinja2 import Environment

    sections = [_section(one, notebooks.get(one.step.name), run.output) for one in run.steps]
    records = [one.record for one in run.steps if one.record]
    facts = [
        ("Started", _when(run.started)),
        ("Took", table.took(run.seconds)),
        ("By", _each(record.user for record in records)),
        ("Cluster", _each(record.cluster for record in records)),
        ("Image", _each(record.image for record in records)),
        ("Versions", _each(f"{name} {version}" for record in records for name, version in record.versions.items())),
        ("Parameters", ", ".join(f"{name} = {table.short(value)}" for name, value in run.parameters.items())),
    ]
    nodes = [Node(one.step.name, one.step.needs, table.MOODS[one.state], _below(one)) for one in run.steps]
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(_read("report.html"))
    return template.render(
        run=run,
        state=_state(run),
        facts=[(name, text) for name, text in facts if text],
        graph=svg(nodes),
        sections=sections,
        css=_read("report.css"),
        notebook_css=_notebook_css(),
        short=table.short,
    )


# --- a step --------------------------------------------------------------


def _outputs(run: PipelineRun) -> dict[str, bytes | KubeRayError]:
    found: dict[str, bytes | KubeRayError] = {}
    for one in run.steps:
        if one.record:
            try:
                found[one.step.name] = Place.of(one.output).read()
            except KubeRayError as error:
                found[one.step.name] = error
    return found


def _section(one: StepRun, notebook: bytes | KubeRayError | None, folder: str) -> Section:
    shown, missing = "", ""
    if notebook is None:
        missing = "It has not run."
    elif isinstance(notebook, KubeRayError):
        missing = notebook.message
    else:
        try:
            shown = notebook_html(notebook)
        except Exception as error:  # whatever is in a file that somebody may have changed
            missing = f"Its output is no notebook: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
    return Section(
        one, table.MOODS[one.state], table.took(table.seconds(one.record)), _href(one.output, folder) if shown else "", shown, missing
    )


def notebook_html(content: bytes) -> str:
    """A notebook's cells and outputs as HTML without scripts' effect, pictures inside; what is very long is cut."""
    import nbformat
    from nbconvert import HTMLExporter

    notebook: Any = nbformat.reads(content.decode("utf-8"), as_version=4)  # type: ignore[no-untyped-call]
    # papermill's own words about a failure; the section has ours.
    notebook.cells = [cell for cell in notebook.cells if _PAPERMILLS not in cell.metadata.get("tags", [])]
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            _cut(output)
    made: Any = HTMLExporter
    exporter = made(template_name="basic", exclude_anchor_links=True, exclude_input_prompt=True, exclude_output_prompt=True)
    body, _ = exporter.from_notebook_node(notebook)
    # It would end the shadow tree.
    return re.sub("</(?=template)", "&lt;/", body, flags=re.IGNORECASE)


def _cut(output: NotebookNode) -> None:
    """Shorten an output in place: a page of a hundred megabytes is no page."""
    if "text" in output:
        output.text = _shortened(output.text)
    if "traceback" in output:
        output.traceback = [_shortened(line) for line in output.traceback]
    data = output.get("data", {})
    for kind, content in list(data.items()):
        if kind == "text/plain":
            data[kind] = _shortened(content)
        elif isinstance(content, str) and len(content) > _LONGEST_DATA:
            del data[kind]
            data["text/plain"] = f"{len(content) / 1e6:.0f} MB of {kind} are in the notebook."


def _shortened(text: str) -> str:
    if len(text) <= _LONGEST_TEXT:
        return text
    head, tail = text[: _LONGEST_TEXT * 3 // 4], text[-_LONGEST_TEXT // 4 :]
    return f"{head}\n… {len(text) - len(head) - len(tail):,} characters are left out; they are in the notebook …\n{tail}"


def _href(output: str, folder: str) -> str:
    """Beside the page, by name, so that the folder can be moved; otherwise as it is."""
    inside = output.removeprefix(folder.rstrip("/") + "/")
    return inside if "/" not in inside else output


def _below(one: StepRun) -> str:
    time = "" if one.state is StepState.UNCHANGED else table.took(table.seconds(one.record))
    return f"{one.state.lower()}, {time}" if time else one.state.lower()


# --- the whole -----------------------------------------------------------


def _state(run: PipelineRun) -> tuple[str, str]:
    """In a word, and its mood."""
    states = {one.state for one in run.steps}
    if StepState.FAILED in states:
        return "Failed", "bad"
    if StepState.INTERRUPTED in states or (run.ended and StepState.PENDING in states):
        return "Interrupted", "bad"
    if not run.ended:
        return "Running", "busy"
    return ("Unchanged", "good") if states == {StepState.UNCHANGED} else ("Succeeded", "good")


def _each(texts: Any) -> str:
    return ", ".join(dict.fromkeys(filter(None, texts)))


def _when(at: str) -> str:
    return f"{datetime.fromisoformat(at):%Y-%m-%d %H:%M:%S} UTC" if at else ""


@cache
def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


@cache
def _notebook_css() -> str:
    from pygments.formatters import HtmlFormatter

    light, dark = (HtmlFormatter(style=style).get_style_defs(".highlight") for style in ("default", "github-dark"))
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n{_read('report-notebook.css')}"
