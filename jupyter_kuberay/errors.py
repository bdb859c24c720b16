"""What can go wrong, told so that the reader knows what to do.

Every error carries a message (what happened) and a hint (what to do about it).
Faces show both and nothing else; whoever wants the cause finds it in
``__cause__``. ``status`` is the HTTP status that the server answers with.
"""

from __future__ import annotations


class KubeRayError(Exception):
    """Something that a user or an administrator can act on."""

    status = 500
    retry_after = 0.0  # seconds after which the other side wants to be asked again; 0: it does not say

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class InvalidSpec(KubeRayError):
    """The request cannot be right, wherever it would run."""

    status = 422


class NotFound(KubeRayError):
    """No such cluster, service, job, profile or revision."""

    status = 404


class Conflict(KubeRayError):
    """It exists already and differs, or somebody else changed it meanwhile."""

    status = 409


class Forbidden(KubeRayError):
    """The user lacks a right; the hint names the rule that would grant it."""

    status = 403


class Unreachable(KubeRayError):
    """Nothing answers there now; trying again may help."""

    status = 503


class VersionMismatch(KubeRayError):
    """Ray or Python differ between here and the cluster."""

    status = 409


class LimitExceeded(InvalidSpec):
    """The administrator's profile does not offer as much."""


class Refused(KubeRayError):
    """The world said no: no memory, no port, a read-only or full disk."""

    status = 507


class Failed(KubeRayError):
    """What was asked for was tried and did not work; the message has the last words of the log."""

    status = 502


class TimedOut(KubeRayError):
    """It was not done in the time given; it may still become so."""

    status = 504
