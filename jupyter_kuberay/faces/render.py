"""Views as text for a terminal or a pipe, as HTML for a notebook; answers as JSON and YAML."""

from __future__ import annotations

import html as escaping
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from jupyter_kuberay.batch.piping import PipelineRun
from jupyter_kuberay.batch.sweeping import Sweep
from jupyter_kuberay.faces import view_jobs, view_runs, view_services  # noqa: F401  (they add how their answers look)
from jupyter_kuberay.faces.answers import Listing, Manifest
from jupyter_kuberay.faces.view import Code, Mood, View, Words, view
from jupyter_kuberay.revision import Revision

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import Console

_STYLES = {Mood.PLAIN: "", Mood.STRONG: "bold", Mood.FAINT: "dim", Mood.GOOD: "green", Mood.BUSY: "yellow", Mood.BAD: "red"}
_COLORS = {Mood.FAINT: "#777", Mood.GOOD: "#188038", Mood.BUSY: "#b06000", Mood.BAD: "#c5221f"}
_PIPE_WIDTH = 10_000  # nothing is wrapped or cut for a program that reads it


# --- text ----------------------------------------------------------------


def show(answer: Any, output: str, console: Console, now: datetime | None = None) -> None:
    """Print ``answer`` as "table", "json" or "yaml"; ``now`` is what ages are counted from (default: this moment)."""
    if output != "table":
        console.out(as_json(answer) if output == "json" else as_yaml(answer), highlight=False, end="")
    elif isinstance(answer, Manifest):
        console.out(yaml_documents(answer.objects), highlight=False, end="")
    else:
        _print(view(answer, now), console)


def plain(answer: Any) -> str:
    """As text without colours, as long as it is."""
    from rich.console import Console

    text = io.StringIO()
    # A kernel says that it is a terminal, and Rich would show the text as an output of its own.
    _print(view(answer), Console(file=text, width=_PIPE_WIDTH, no_color=True, force_jupyter=False, force_terminal=False))
    return text.getvalue().rstrip("\n")


def _print(shown: View, console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    width = None if console.is_terminal else _PIPE_WIDTH
    if shown.rows:
        table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), show_header=bool(shown.columns), header_style="dim", width=None)
        card = not shown.columns and len(shown.rows[0]) == 2
        for index in range(len(shown.rows[0])):
            table.add_column(
                shown.columns[index] if shown.columns else "",
                style="dim" if card and index == 0 else "",
                # A name that is cut cannot be copied.
                no_wrap=index == 0 or not console.is_terminal,
                overflow="fold",
            )
        for row in shown.rows:
            table.add_row(*(Text(cell.text, style=_STYLES[cell.mood]) for cell in row))
        with _without_trailing_blanks(console, width) as out:
            out.print(table)
    for piece in shown.below:
        if isinstance(piece, Code):
            console.out("\n" + "\n".join(("    " + line).rstrip() for line in piece.text.splitlines()) + "\n", highlight=False)
        else:
            console.print(Text(piece.text, style=_STYLES[piece.mood]), soft_wrap=not console.is_terminal)


class _without_trailing_blanks:
    """A console that renders as ``console`` does, and whose lines end where their words do."""

    def __init__(self, console: Console, width: int | None) -> None:
        from rich.console import Console

        self._to = console
        self._text = io.StringIO()
        self._console = Console(
            file=self._text,
            width=width or console.width,
            force_terminal=console.is_terminal,
            color_system=console.color_system,  # type: ignore[arg-type]
            no_color=console.no_color,
            force_jupyter=False,
        )

    def __enter__(self) -> Console:
        return self._console

    def __exit__(self, *_: object) -> None:
        for line in self._text.getvalue().splitlines():
            self._to.file.write(line.rstrip() + "\n")


# --- HTML ----------------------------------------------------------------


def html(answer: Any) -> str:
    """As a table for a notebook; whatever is in it is text, not markup."""
    return markup(view(answer))


def markup(shown: View) -> str:
    """The same of what is already a view."""
    rows = "".join(f"<tr>{''.join(_cell(cell, bool(shown.columns)) for cell in row)}</tr>" for row in shown.rows)
    head = f"<thead><tr>{''.join(f'<th>{column.capitalize()}</th>' for column in shown.columns)}</tr></thead>" if shown.columns else ""
    table = f"<table>{head}<tbody>{rows}</tbody></table>" if shown.rows else ""
    return table + "".join(_below(piece) for piece in shown.below)


def _cell(words: Words, left: bool) -> str:
    return f'<td style="text-align:left">{_marked(words)}</td>'


def _marked(words: Words) -> str:
    text = escaping.escape(words.text)
    if words.mood is Mood.STRONG:
        return f"<b>{text}</b>"
    return f'<span style="color:{_COLORS[words.mood]}">{text}</span>' if words.mood in _COLORS else text


def _below(piece: Words | Code) -> str:
    return f"<pre>{escaping.escape(piece.text)}</pre>" if isinstance(piece, Code) else f"<div>{_marked(piece)}</div>"


# --- JSON and YAML -------------------------------------------------------


def data(answer: Any) -> Any:
    """``answer`` as JSON has it: dictionaries, lists, texts, numbers, booleans and null."""
    if isinstance(answer, Revision):
        return answer.model_dump(mode="json", exclude={"code"})  # kilobytes of base64; sha256 tells which it is
    if isinstance(answer, Sweep | PipelineRun):
        return [data(record) for record in answer.records]
    if is_dataclass(answer) and not isinstance(answer, type):
        return {field.name: data(getattr(answer, field.name)) for field in fields(answer)}
    if isinstance(answer, BaseModel):
        return answer.model_dump(mode="json")
    if isinstance(answer, Manifest):
        return {"apiVersion": "v1", "kind": "List", "items": list(answer.objects)}
    if isinstance(answer, Listing | list | tuple):
        return [data(item) for item in answer]
    if isinstance(answer, Mapping):
        return {str(key): data(item) for key, item in answer.items()}
    return answer


def as_json(answer: Any) -> str:
    """Indented, with a line end."""
    return json.dumps(data(answer), indent=2, ensure_ascii=False) + "\n"


def as_yaml(answer: Any) -> str:
    """One YAML document; of a manifest, one for each object."""
    import yaml

    if isinstance(answer, Manifest):
        return yaml_documents(answer.objects)
    return str(yaml.safe_dump(data(answer), sort_keys=False, allow_unicode=True))


def yaml_documents(objects: Iterable[Mapping[str, Any]]) -> str:
    """As ``kubectl create -f`` takes them."""
    import yaml

    return str(yaml.safe_dump_all([dict(one) for one in objects], sort_keys=False, allow_unicode=True))
