"""What pydantic found wrong, as one sentence each that names the field, the value, and what is allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jupyter_kuberay.errors import InvalidSpec

if TYPE_CHECKING:
    from pydantic import ValidationError

_LONGEST_VALUE = 80


def refusal(what: str, error: ValidationError) -> InvalidSpec:
    """Say of ``what``, such as "cluster", everything that is wrong with it at once."""
    found = error.errors(include_url=False, include_context=False)
    message = "; ".join(_sentence(part) for part in found)
    hint = "Correct this field and try again." if len(found) == 1 else "Correct these fields and try again."
    return InvalidSpec(f"The {what} cannot be made: {message}.", hint)


def _sentence(part: Any) -> str:
    where = path(part["loc"])
    why = part["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ").rstrip(".")
    if part["type"] == "missing":
        return f"{where} is missing"
    if part["type"] == "extra_forbidden":
        return f"{where} is no field that it has"
    if part["type"] in ("value_error", "quantity"):  # ours: these name the value themselves
        return f"{where}: {why}" if where else why
    value = repr(part["input"])
    shown = value if len(value) <= _LONGEST_VALUE else value[: _LONGEST_VALUE - 1] + "…"
    return f"{where} is {shown}, but {why[0].lower()}{why[1:].replace('Input should', 'it should')}".replace(
        "but input should", "but it should"
    )


def path(loc: tuple[int | str, ...]) -> str:
    """``("worker_groups", 0, "cpu")`` as ``worker_groups[0].cpu``."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")
