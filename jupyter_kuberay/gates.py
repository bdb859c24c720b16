"""What a validation's gates said of a model, and the refusal to publish one that failed them.

Read is what ``lifecycle.validation`` writes as ``validation.json``, and what else has the same shape: ``gates``, a list of mappings with
``name``, ``passed``, and ``verdict`` (a sentence), or ``found``, ``wanted`` and ``at_least`` instead of that.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from jupyter_kuberay.errors import InvalidSpec

_LARGEST = 4 << 20  # bytes of a file


class GatesFailed(InvalidSpec):
    """A model failed its gates, and is not published; the message names each with what was found and what was wanted."""


def read(given: str | os.PathLike[str] | Mapping[str, Any], model: str = "") -> tuple[str, ...]:
    """The gates that were failed, a sentence each; none: all were passed. Blocks where ``given`` is a path or a URL.

    Parameters
    ----------
    given
        ``validation.json``'s path or URL, or what is in it.
    model
        What is to be published; "" where that cannot be compared with what was judged.

    Raises
    ------
    InvalidSpec
        There is no such file, it tells of no gates, or it is about another model.
    """
    name = "gates" if isinstance(given, Mapping) else os.fspath(given)
    record = given if isinstance(given, Mapping) else _loaded(name)
    gates = record.get("gates")
    if not isinstance(gates, Sequence) or isinstance(gates, str) or not all(_is_gate(each) for each in gates):
        raise InvalidSpec(f"{name} has no list 'gates' whose items say 'name' and 'passed'.", "Give what lifecycle.validation wrote.")
    judged = record.get("model")
    if model and isinstance(judged, str) and judged and not judged.startswith("models:/") and _ends(judged) != _ends(model):
        raise InvalidSpec(f"{name} is about {judged}, and not about {model}.", "Validate the model that is to be published.")
    failed = tuple(_verdict(each) for each in gates if not each["passed"])
    if not failed and record.get("passed") is False:
        return (f"{name} says that it did not pass.",)
    return failed


def refuse(failed: Sequence[str], name: str) -> None:
    """Raise `GatesFailed` where there is anything in ``failed``; ``name`` is the model's."""
    if failed:
        told = "; ".join(each.rstrip(".") for each in failed)
        raise GatesFailed(
            f"The model{f' {name}' if name else ''} failed {len(failed)} of its gates, and was not published. {told}.",
            "Train longer or on more data; or publish it all the same with despite_gates (--despite-gates), which its history then tells.",
        )


def _loaded(name: str) -> Mapping[str, Any]:
    try:
        if "://" in name:
            import fsspec

            with fsspec.open(name, "rb") as file:
                content = bytes(file.read(_LARGEST + 1))
        else:
            with open(os.path.expanduser(name), "rb") as opened:
                content = opened.read(_LARGEST + 1)
    except (OSError, ValueError, ImportError) as error:
        raise InvalidSpec(f"The gates in {name} cannot be read: {error}.", "Name the validation.json of the model's run.") from None
    try:
        value = json.loads(content) if len(content) <= _LARGEST else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InvalidSpec(f"{name} holds no JSON object with gates.", "Name the validation.json of the model's run.")
    return value


def _is_gate(gate: object) -> bool:
    return isinstance(gate, Mapping) and isinstance(gate.get("name"), str) and isinstance(gate.get("passed"), bool)


def _verdict(gate: Mapping[str, Any]) -> str:
    verdict = gate.get("verdict")
    if isinstance(verdict, str) and verdict:
        return verdict
    found, wanted = gate.get("found"), gate.get("wanted")
    if not isinstance(found, int | float) or not isinstance(wanted, int | float):
        return f"{gate['name']}: failed"
    word = "at least" if gate.get("at_least", True) else "at most"
    return f"{gate['name']}: {found:.4g}, {word} {wanted:.4g} (failed by {abs(found - wanted):.3g})"


def _ends(place: str) -> tuple[str, ...]:
    """Of a path or URL its last two parts: the folder of a run may have been moved, or be mounted elsewhere."""
    return PurePosixPath(place.rstrip("/")).parts[-2:]
