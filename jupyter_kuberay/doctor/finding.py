"""One line of what doctor tells."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from jupyter_kuberay.errors import KubeRayError


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"  # one can work, and should know
    BAD = "bad"  # it keeps the user from working
    UNSEEN = "cannot see"  # the user has no right to see it, or there is nothing yet to tell by


class Finding(BaseModel):
    """What was found of one thing."""

    model_config = ConfigDict(frozen=True)

    check: str  # what was looked at, such as "rights"
    level: Level
    what: str  # a sentence
    remedy: str = ""  # what to do, a sentence; never empty where it is bad
    manifest: str = ""  # YAML to give to an administrator


def ok(check: str, what: str) -> Finding:
    return Finding(check=check, level=Level.OK, what=what)


def warning(check: str, what: str, remedy: str, manifest: str = "") -> Finding:
    return Finding(check=check, level=Level.WARNING, what=what, remedy=remedy, manifest=manifest)


def bad(check: str, what: str, remedy: str, manifest: str = "") -> Finding:
    return Finding(check=check, level=Level.BAD, what=what, remedy=remedy, manifest=manifest)


def unseen(check: str, what: str, remedy: str = "") -> Finding:
    return Finding(check=check, level=Level.UNSEEN, what=what, remedy=remedy)


def broken(check: str, error: KubeRayError) -> Finding:
    """What an error says, as something that keeps the user from working."""
    return bad(check, error.message, error.hint or "Ask your administrator.")
