"""From what a cluster says when an application does not start to a sentence that a person can use. Pure."""

from __future__ import annotations

import json
import re

from jupyter_kuberay.errors import Failed

TRIED = "jupyter-kuberay-tried"  # as serving/loader.py marks the line of an outcome
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_FRAME = re.compile(r'^\s*File "(?P<path>[^"]+)", line (?P<line>\d+)', re.MULTILINE)
_NOT_THEIRS = ("/site-packages/", "/importlib/", "<frozen ", "jupyter_kuberay_loader.py")
_ERROR = re.compile(r"^(?P<type>[A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt|Warning|NotFound))\b.*$", re.MULTILINE)


class RemoteTraceback(Exception):
    """The cause of an error that happened on the cluster, in the cluster's own words."""


def failure_of(message: str) -> str:
    """What a try-out said went wrong, from the message of its job."""
    for line in reversed(message.splitlines()):
        if line.startswith("{") and TRIED in line:
            try:
                return str(json.loads(line).get("error") or "")
            except ValueError:
                break  # Ray cut the line
    return message


def last_line(text: str) -> str:
    """The last line that says something, without colours."""
    lines = [line.strip() for line in _COLOURS.sub("", text).splitlines() if line.strip()]
    return lines[-1] if lines else ""


def explained(text: str, what: str, then: str = "") -> Failed:
    """The error for an application that does not start.

    Its message has the error's own last line, and where in the application's code it was raised.
    The whole of ``text`` is its ``__cause__``.
    """
    text = _COLOURS.sub("", text)
    errors = list(_ERROR.finditer(text))
    said = errors[-1].group().strip() if errors else last_line(text) or "no reason is given"
    frames = [frame for frame in _FRAME.finditer(text) if not any(part in frame["path"] for part in _NOT_THEIRS)]
    where = f" ({frames[-1]['path'].rpartition('/')[2]}, line {frames[-1]['line']})" if frames else ""
    hint = "Mend the application, or install on the cluster what it lacks; then publish again."
    error = Failed(f"{what}: {said.rstrip('.')}{where}. {then}".strip(), hint)
    error.__cause__ = RemoteTraceback(text)
    return error
