"""Who may see one cluster's dashboard: a key that opens once, and the session that it opens. Pure but for chance and the clock."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

KEY_S = 60.0  # from the click to the first request of the new tab
IDLE_S = 3600.0
LONGEST_S = 8 * 3600.0
_BYTES = 32
_MOST = 64  # of each; the oldest go first


@dataclass
class _Session:
    began: float
    used: float


class Admission:
    """The keys and sessions of one cluster's dashboard.

    Parameters
    ----------
    clock
        Seconds. The wall's clock goes on while a laptop sleeps.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._keys: dict[str, float] = {}  # until when
        self._sessions: dict[str, _Session] = {}

    def key(self) -> str:
        """A new key, which opens once within `KEY_S`."""
        self._forget()
        key = secrets.token_urlsafe(_BYTES)
        self._keys[key] = self._clock() + KEY_S
        return key

    def admit(self, key: str) -> str:
        """A new session for a key that is good, and is not any more; otherwise ""."""
        self._forget()
        found = _equal(self._keys, key)
        if not found:
            return ""
        del self._keys[found]
        session, now = secrets.token_urlsafe(_BYTES), self._clock()
        self._sessions[session] = _Session(now, now)
        return session

    def knows(self, session: str) -> bool:
        """Whether it is a session, which counts as its use."""
        self._forget()
        found = _equal(self._sessions, session)
        if found:
            self._sessions[found].used = self._clock()
        return bool(found)

    @property
    def over(self) -> bool:
        """Whether nobody may now."""
        self._forget()
        return not self._keys and not self._sessions

    def _forget(self) -> None:
        now = self._clock()
        keys = [(key, until) for key, until in self._keys.items() if now < until]
        self._keys = dict(keys[-_MOST:])
        sessions = [(name, one) for name, one in self._sessions.items() if now < one.used + IDLE_S and now < one.began + LONGEST_S]
        self._sessions = dict(sessions[-_MOST:])


def _equal(secret: Iterable[str], given: str) -> str:
    """The one that equals ``given``, or ""; how long it takes tells nothing about them."""
    given_bytes, found = given.encode(errors="replace"), ""
    for each in secret:
        if secrets.compare_digest(each.encode(), given_bytes):
            found = each
    return found
