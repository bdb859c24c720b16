"""The examples in docs/, and what is known of each: whether it is run, only read, or a file that others use."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import click
from markdown_it import MarkdownIt
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ("index", "magics", "widgets", "batch", "panel", "publishing", "own-model")  # in the order in which they are run
ELLIPSIS = "…"
# What an example is that is not run: it needs a Kubernetes, or makes the environment that these tests are in.
NOT_RUN = frozenset({"kubernetes", "install"})


@dataclass(frozen=True)
class Example:
    """One block of code in a page."""

    page: str
    line: int  # in the page, from 1
    language: str
    text: str
    classes: frozenset[str]
    caption: str
    output: str | None  # what the page says it prints; None where it says nothing

    @property
    def kind(self) -> str:
        """One of "cell", "commands", "file" and "notebook"; "" for what cannot be told."""
        if self.caption:
            return "notebook" if self.caption.endswith(".ipynb") else "file"
        return {"ipython3": "cell", "console": "commands"}.get(self.language, "")

    @property
    def runs(self) -> bool:
        return not self.classes & NOT_RUN

    def __str__(self) -> str:
        return f"docs/{self.page}.md:{self.line}"


def examples(page: str) -> list[Example]:
    """All of a page, in order."""
    found: list[Example] = []
    for line, language, options, text in _blocks((DOCS / f"{page}.md").read_text()):
        classes = frozenset(options.get("class", "").split())
        if "output" in classes:
            before = found.pop()
            found.append(Example(**{**before.__dict__, "output": text}))
        else:
            found.append(Example(page, line, language, text, classes, options.get("caption", ""), None))
    return found


def _blocks(text: str) -> Iterator[tuple[int, str, dict[str, str], str]]:
    for token in MarkdownIt().parse(text):
        if token.type == "fence" and token.map:
            directive = re.fullmatch(r"\{code-block\}\s*(\S+)", token.info.strip())
            lines, options = token.content.splitlines(), {}
            while directive and lines and (option := re.fullmatch(r":(\w+):\s*(.*)", lines[0])):
                options[option[1]] = option[2]
                lines.pop(0)
            yield token.map[0] + 1, directive[1] if directive else token.info, options, "\n".join(lines).strip("\n")


def commands(example: Example) -> list[tuple[str, str]]:
    """The commands of a console, each with what the page says it prints."""
    found: list[tuple[str, str]] = []
    for part in re.split(r"^\$ ", example.text, flags=re.MULTILINE)[1:]:
        command, lines = "", part.splitlines()
        while lines:
            line = lines.pop(0)
            command += line + "\n"
            if not line.endswith("\\"):
                break
        found.append((command.strip(), "\n".join(lines).strip("\n")))
    return found


def notebook(text: str) -> NotebookNode:
    """A notebook from cells that begin with ``# %%``; ``# %% parameters`` is the one with parameters."""
    cells = []
    for head, body in re.findall(r"^# %%(.*)\n((?:(?!# %%).*\n?)*)", text, flags=re.MULTILINE):
        if "[markdown]" in head:
            cells.append(new_markdown_cell(re.sub(r"^# ?", "", body.strip(), flags=re.MULTILINE)))
        else:
            cells.append(new_code_cell(body.strip(), metadata={"tags": ["parameters"]} if "parameters" in head else {}))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


def shown_as(said: str, wanted: str) -> bool:
    """Whether something printed is what the page shows, in which ``…`` stands for anything."""
    parts = (re.escape(part) for part in _tidy(wanted).split(ELLIPSIS))
    return re.fullmatch(".*?".join(parts), _tidy(said), re.DOTALL) is not None


def _tidy(text: str) -> str:
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    return "\n".join(line.rstrip() for line in plain.strip().splitlines())


def parse(words: list[str]) -> None:
    """Read a command line of ours and do nothing; raises click's error where it cannot be read."""
    from jupyter_kuberay.faces import apps, health, jobs, models, notebooks  # noqa: F401  (they add their commands)
    from jupyter_kuberay.faces.commands import kuberay

    command = kuberay.get_command(click.Context(kuberay), words[0])
    assert command is not None, f"there is no command {words[0]!r}"
    command.make_context(words[0], words[1:], obj=SimpleNamespace())


def spoken(example: Example) -> list[list[str]]:
    """The words of each command of ours in a cell or console."""
    if example.kind == "commands":
        lines = [command.replace("\\\n", " ") for command, _ in commands(example)]
    else:
        lines = example.text.splitlines() if example.kind == "cell" else []
    found = (re.match(r"(?:(?:\w+ = )?%{1,2}kuberay|(?:\w+=\S+ )*jupyter kuberay)\s+(.*)", line, re.DOTALL) for line in lines)
    return [shlex.split(each[1], comments=True) for each in found if each]
