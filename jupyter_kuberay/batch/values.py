"""Parameters' values as people write them, in YAML and on command lines. Pure.

YAML 1.2's words, which people mean, not 1.1's, which PyYAML reads: ``1e-3`` is
a number, ``no`` and ``12:30`` are text, ``010`` is ten, a date stays the text
that it is, so that every value can be written as JSON. A key that is there
twice is an error, not the last one's.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

import yaml

from jupyter_kuberay.errors import InvalidSpec

_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_OTHER = {"true": True, "false": False, "null": None, "~": None, ".inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan")}
_NAMES = _OTHER | {key.title(): value for key, value in _OTHER.items()} | {key.upper(): value for key, value in _OTHER.items()}


def scalar(text: str) -> Any:
    """A plain word's value: a number, a truth value, None, or the text itself.

    >>> [scalar(text) for text in ("1e-3", "010", "-2", "true", "no", "12:30", "")]
    [0.001, 10, -2, True, 'no', '12:30', None]
    """
    if _INT.fullmatch(text):
        return _whole(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return None if text == "" else _NAMES.get(text, text)


def _whole(text: str) -> Any:
    try:
        return int(text)
    except ValueError:  # Python reads no more than some thousand digits
        return text


def value(text: str, what: str = "The value") -> Any:
    """What somebody wrote behind ``name=``: a scalar, or quoted text, a list in brackets or a mapping in braces as YAML has them.

    Raises
    ------
    InvalidSpec
        A quote or bracket is left open, or the like; the sentence begins with ``what``.
    """
    text = text.strip()
    if text[:1] in ("'", '"', "[", "{"):
        return read_yaml(text, what)
    return scalar(text)


def read_yaml(text: str, where: str) -> Any:
    """The one document in ``text``; JSON is YAML, too.

    Raises
    ------
    InvalidSpec
        It is not YAML, or a key is there twice: told with ``where`` and the line.
    """
    try:
        found = yaml.load(text, _Loader)
        canonical(found)  # an alias may have put it into itself
        return found
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark and "\n" in text.strip() else ""
        hint = _excerpt(text, mark.line, mark.column) if mark else ""
        raise InvalidSpec(f"{where}{line}: {error.problem or error.context}.", hint) from error
    except yaml.reader.ReaderError as error:
        raise InvalidSpec(f"{where} holds a character that YAML does not allow, at {error.position}.", "Remove it, or quote it.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidSpec(f"{where} is not YAML: {str(error).splitlines()[0] if str(error) else type(error).__name__}", "") from error


def _excerpt(text: str, line: int, column: int) -> str:
    lines = text.splitlines()
    found = lines[line] if line < len(lines) else ""
    begin = max(0, column - 50)
    some = found[begin : begin + 80].strip()
    return f"It says: {'…' if begin else ''}{some}" if some else "Something is left open, such as a quote or a bracket."


class _Loader(yaml.SafeLoader):
    """YAML 1.2's scalars, and no key twice."""

    # What PyYAML guesses by a scalar's first letter is replaced as a whole; only "<<" stays.
    yaml_implicit_resolvers = {  # noqa: RUF012 - as yaml.SafeLoader has it
        "<": [("tag:yaml.org,2002:merge", re.compile("^<<$"))],
    }

    def construct_scalar(self, node: Any) -> Any:
        text = super().construct_scalar(node)
        return scalar(text) if node.style is None and node.tag == "tag:yaml.org,2002:str" else text

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[Any] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name is not None and name != "<<" and name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{name!r} is there twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep=deep)


# Plain scalars reach this as "str", whatever they are; PyYAML's own would call it, too, with their text.
_Loader.add_constructor("tag:yaml.org,2002:str", lambda loader, node: loader.construct_scalar(node))  # type: ignore[arg-type]


def canonical(value: Any) -> str:
    """One text for one value, as JSON: keys sorted, 1 and 1.0 told apart. Values that JSON lacks are told by their representation."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=repr)


def digest(value: Any, length: int = 64) -> str:
    """The SHA-256 of `canonical`, in hexadecimal, its first ``length`` digits."""
    return hashlib.sha256(canonical(value).encode("utf-8", "surrogatepass")).hexdigest()[:length]


def nearest(name: str, known: Iterable[str], there_is: str = "There is") -> str:
    """A hint that names what was probably meant, or all there is."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"Did you mean {close[0]}?"
    return f"{there_is}: {', '.join(known)}." if known else "There is none."
