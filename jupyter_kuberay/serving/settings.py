"""What ``user_config`` holds for every application: the model, batching, limits, and the request log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self


def whole(default: int, least: int = 0) -> Any:
    """A setting that is a whole number of ``least`` or more."""
    return _field(default, lambda value: type(value) is int and value >= least, f"a whole number of {least} or more")


def seconds(default: float, least: float = 0) -> Any:
    """A setting in seconds."""
    return _field(default, lambda value: type(value) in (int, float) and value >= least, f"a number of seconds of {least:g} or more")


def share(default: float) -> Any:
    """A setting from 0 to 1."""
    return _field(default, lambda value: type(value) in (int, float) and 0 <= value <= 1, "a number from 0 to 1")


def switch(default: bool) -> Any:
    """A setting that is true or false."""
    return _field(default, lambda value: type(value) is bool, "true or false")


def text(default: str = "", *, needed: str = "") -> Any:
    """A setting that is a text; where it is ``needed``, that says as what."""
    return _field(default, lambda value: isinstance(value, str) and bool(value or not needed), needed or "a text")


def one_of(default: str, *others: str) -> Any:
    """A setting that is one of some words."""
    words = (default, *others)
    return _field(default, lambda value: value in words, f"one of {', '.join(words)}")


def _field(default: Any, fits: Callable[[Any], bool], what: str) -> Any:
    return field(default=default, metadata={"fits": fits, "what": what})


@dataclass(frozen=True)
class Settings:
    """All of it can be changed while the service runs. An application may have more, in a subclass."""

    model: str = text(needed="a path, a URL, or the name of a model")  # a path, any fsspec URL, or a name on a hub
    revision: int | str = 0  # as published; told in x-revision
    max_batch_size: int = whole(16, 1)
    batch_wait_timeout_s: float = seconds(0.01)  # how long a batch waits for as many as the last one had; 0: not at all
    threads: int = whole(0)  # that compute, in a replica; 0: as many as the replica has CPUs
    keep_models: int = whole(1)  # earlier ones that stay in memory, so that going back to them takes no loading
    max_queue: int = whole(1024, 1)  # texts that wait in a replica: from then on it answers 429
    max_requests: int = whole(512, 1)  # at once in a replica, likewise
    max_bytes: int = whole(1_000_000, 1)  # of a request's text or body
    max_texts: int = whole(1000, 1)  # in one request
    timeout_s: float = seconds(60, 0.001)  # for one request, at most; less where the client says so in x-request-timeout
    receive_timeout_s: float = seconds(10, 0.001)  # for a request's body to come: who sends none takes a place from others
    stuck_after_s: float = seconds(300, 1)  # computing one batch for so long, the replica is not healthy any more
    log: str = text()  # a folder or an fsspec URL for what was asked and answered; "": nothing is kept
    log_share: float = share(1.0)  # of the requests that are kept
    log_text: bool = switch(True)  # False: lengths are kept, and no text
    log_max_bytes: int = whole(100_000_000, 1)  # by one replica

    @classmethod
    def parse(cls, given: dict[str, Any]) -> Self:
        """Check ``given``, or `ValueError` that names the setting, the value and what is allowed."""
        known = {each.name: each for each in fields(cls)}
        if unknown := sorted(set(given) - set(known)):
            raise ValueError(f"There is no setting {', '.join(unknown)}; there are {', '.join(known)}.")
        found = replace(cls(), **given)
        for each in known.values():
            value = getattr(found, each.name)
            if each.metadata and not each.metadata["fits"](value):
                raise ValueError(f"{each.name} is {value!r}; it is {each.metadata['what']}.")
        return found
