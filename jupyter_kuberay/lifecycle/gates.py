"""The gates that a model has to pass: read from one file, precisely, and judged by what was found.

Pure but for reading the file. notebooks/gates.yaml is an example of all there is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jupyter_kuberay.lifecycle._run import Json, LifecycleError

DEFAULTS: Json = {
    "metrics": {"rougeL": {"at_least": 0.85, "over_lead1": 0.1, "below_published": 0.01, "judged_by": "mean"}},
    "latency": {"p95_s": 1.0},
    "size": {"megabytes": 4000},
    "robustness": {"inputs": ["empty", "short", "noisy", "long"], "broken": 0},
    "signature": {"inputs": {"document": "string"}, "outputs": {"summary": "string"}},
}
INPUTS = ("empty", "short", "noisy", "long")  # kinds of odd inputs
TYPES = ("string", "integer", "long", "float", "double", "boolean", "binary")  # of a column, as MLflow calls them
_BOUNDS = ("at_least", "at_most", "over_lead1", "below_published", "above_published")
_FIELDS = {
    "metrics": (*_BOUNDS, "judged_by"),
    "latency": ("median_s", "p95_s"),
    "size": ("megabytes", "million_parameters"),
    "robustness": ("inputs", "broken", "lost_to_noise"),
    "signature": ("inputs", "outputs"),
}
_TITLES = {"rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L"}
_COMPARED = {"over_lead1": ("lead1", "over Lead-1"), "below_published": ("published", "below the published revision")}
_COMPARED |= {"above_published": ("published", "above the published revision")}

Path_ = tuple[str, ...]  # of a field within the file


class Gate(NamedTuple):
    """What was found, what was wanted, and so whether it is passed."""

    name: str
    found: float
    wanted: float
    at_least: bool  # or at most
    key: str = ""  # of its line in the file, such as metrics.rougeL.at_least

    @property
    def passed(self) -> bool:
        return self.found >= self.wanted if self.at_least else self.found <= self.wanted

    @property
    def missed_by(self) -> float:
        """By how much it is failed; 0.0 where it is passed."""
        return 0.0 if self.passed else abs(self.found - self.wanted)

    def __str__(self) -> str:
        word = "at least" if self.at_least else "at most"
        verdict = "passed" if self.passed else f"failed by {self.missed_by:.3g}"
        return f"{self.name}: {self.found:.4g}, {word} {self.wanted:.4g} ({verdict})"


# Reading


def read_gates(given: str | Path | Mapping[str, Any] | None) -> tuple[Json, str]:
    """The gates in a file, or of a mapping like one, checked; and where they are from.

    Where there is no such file, `DEFAULTS` are taken.

    Raises
    ------
    LifecycleError
        There is a gate that nobody knows, or a value of a wrong kind: with file, line, field, and what is allowed.
    """
    if isinstance(given, Mapping):
        return _checked(dict(given), {}, "gates"), "given as values"
    if not given:
        return DEFAULTS, "the defaults"
    path = Path(given).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return DEFAULTS, f"the defaults: there is no {path}"
    except (OSError, UnicodeDecodeError) as error:
        raise LifecycleError(f"{path} cannot be read: {error}.", "Give the path of a YAML file like notebooks/gates.yaml.") from error
    lines: dict[Path_, int] = {}
    return _checked(_plain(text, path.name, lines), lines, path.name), str(path)


def _plain(text: str, file: str, lines: dict[Path_, int]) -> Any:
    """What the text holds; the line of each field is kept in ``lines``."""
    import yaml

    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        _number(node, (), lines, file)
        return loader.construct_document(node) if node is not None else {}
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}" if mark else ""
        raise LifecycleError(f"{file}{where} is no YAML: {error.problem}.", "Compare it with notebooks/gates.yaml.") from error
    except (yaml.YAMLError, ValueError) as error:
        raise LifecycleError(f"{file} is no YAML: {str(error).splitlines()[0]}.", "Compare it with notebooks/gates.yaml.") from error
    finally:
        loader.dispose()


def _number(node: Any, path: Path_, lines: dict[Path_, int], file: str) -> None:
    import yaml

    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        below = (*path, str(key.value))
        if below in lines:
            raise _wrong(below, lines | {below: key.start_mark.line + 1}, file, "is there twice", "Leave one of both.")
        lines[below] = key.start_mark.line + 1
        _number(value, below, lines, file)


def _checked(found: Any, lines: Mapping[Path_, int], file: str) -> Json:
    def wrong(path: Path_, said: str, hint: str) -> LifecycleError:
        return _wrong(path, lines, file, said, hint)

    if not isinstance(found, dict):
        raise wrong((), f"holds {_kind(found)}", f"It has to hold {_list(_FIELDS)}, each with its gates.")
    for section, fields in found.items():
        if section not in _FIELDS:
            raise wrong((str(section),), "is nothing that is judged", f"There are {_list(_FIELDS)}.")
        if not isinstance(fields, dict):
            raise wrong(
                (section,), f"is {_kind(fields)}", f"Below it come {_list(_FIELDS[section] if section != 'metrics' else ['metrics'])}."
            )
        if section != "metrics":
            _check_fields((section,), fields, wrong)
            continue
        for name, bounds in fields.items():
            if not isinstance(bounds, dict):
                hint = f"Say which bound it is: {name}: {{at_least: {bounds}}}." if _is_number(bounds) else f"Give {_list(_BOUNDS)}."
                raise wrong((section, str(name)), f"is {_kind(bounds)}", hint)
            _check_fields((section, str(name)), bounds, wrong)
    return found


def _check_fields(path: Path_, fields: Mapping[Any, Any], wrong: Any) -> None:
    known = _FIELDS[path[0]]
    for name, value in fields.items():
        here = (*path, str(name))
        if name not in known:
            raise wrong(here, "is no gate", f"There are {_list(known)}.")
        if allowed := _not_allowed(path[0], str(name), value):
            raise wrong(here, f"is {_kind(value)}", f"It is {allowed}.")


def _not_allowed(section: str, name: str, value: Any) -> str:
    """What a field may be, where ``value`` is not."""
    if name == "judged_by":
        return "" if value in ("mean", "interval") else "mean or interval"
    if section == "robustness" and name == "inputs":
        right = isinstance(value, list) and all(each in INPUTS for each in value)
        return "" if right else f"a list of some of {_list(INPUTS)}"
    if section == "signature":
        right = isinstance(value, dict) and bool(value) and all(isinstance(key, str) and each in TYPES for key, each in value.items())
        return "" if right else f"a mapping of columns to their types, each one of {_list(TYPES)}"
    if name == "broken":
        return "" if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else "a whole number of 0 or more"
    if section == "metrics":
        return "" if _is_number(value) else "a number"
    return "" if _is_number(value) and value >= 0 else "a number of 0 or more"


def _wrong(path: Path_, lines: Mapping[Path_, int], file: str, said: str, hint: str) -> LifecycleError:
    line = next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), 0)
    where = f"{file}, line {line}" if line else file
    return LifecycleError(f"{where}: {'.'.join(path)} {said}." if path else f"{where} {said}.", hint)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value  # not NaN


def _kind(value: Any) -> str:
    if value is None:
        return "empty"
    return f"a {type(value).__name__}" if isinstance(value, list | dict) and not value else repr(value)


def _list(names: Any) -> str:
    found = [str(name) for name in names]
    return f"{', '.join(found[:-1])} and {found[-1]}" if len(found) > 1 else found[0]


# Judging


def judged(wanted: Json, evaluated: Json, seen: Json) -> list[Gate]:
    """Every gate of ``wanted`` with what was found: by an evaluation, and by trying the model.

    Raises
    ------
    LifecycleError
        A metric is asked for that was not evaluated.
    """
    return [*_of_metrics(wanted.get("metrics", {}), evaluated), *_of_trial(wanted, seen)]


def _of_metrics(wanted: Json, evaluated: Json) -> Iterator[Gate]:
    for metric, bounds in wanted.items():
        scores = evaluated["scores"]["model"]
        if metric not in scores:
            hint = f"Give its function to evaluation.evaluate as metrics=, or ask for {_list(scores)}."
            raise LifecycleError(f"The gates ask for the metric {metric}, which was not evaluated.", hint)
        surely = bounds.get("judged_by") == "interval"
        for name in _BOUNDS:
            if name in bounds:
                gate = _bound(metric, name, float(bounds[name]), evaluated, surely)
                yield from [gate] if gate else []


def _bound(metric: str, name: str, wanted: float, evaluated: Json, surely: bool) -> Gate | None:
    """One bound of one metric; None where there is nothing published to compare with.

    ``surely``: by the end of the interval that speaks against the model.
    """
    title, key = _TITLES.get(metric, metric), f"metrics.{metric}.{name}"
    if name in ("at_least", "at_most"):
        at_least = name == "at_least"
        found = evaluated["scores"]["model"][metric]
        if surely:
            found = _end(evaluated["intervals"]["model"][metric], 0 if at_least else 1, found)
            title += f", {'lower' if at_least else 'upper'} end of its interval"
        return Gate(title, found, wanted, at_least, key)
    other, words = _COMPARED[name]
    if other not in evaluated["scores"]:
        return None
    title, sign = f"{title} {words}", -1 if name == "below_published" else 1
    difference = round(evaluated["scores"]["model"][metric] - evaluated["scores"][other][metric], 4)
    if surely:
        ends = evaluated["differences"][other][metric]
        difference = _end([ends["low"], ends["high"]], 1 if name == "above_published" else 0, difference)
        title += ", worse end of the difference's interval"
    return Gate(title, round(sign * difference, 4), wanted, name == "over_lead1", key)


def _end(ends: Any, which: int, otherwise: float) -> float:
    return float(ends[which]) if ends and ends[which] is not None else otherwise


def _of_trial(wanted: Json, seen: Json) -> Iterator[Gate]:
    latency, size, robustness = (wanted.get(section, {}) for section in ("latency", "size", "robustness"))
    titles = {"median_s": ("median", "median"), "p95_s": ("p95", "95th percentile")}
    for name, bound in latency.items():
        key, words = titles[name]
        yield Gate(f"latency of one report, {words} in seconds", seen["latency"][key], bound, False, f"latency.{name}")
    for name, bound in size.items():
        title = "weights in memory, megabytes" if name == "megabytes" else "parameters, millions"
        yield Gate(title, seen["size"][name], bound, False, f"size.{name}")
    if "broken" in robustness:
        kinds = robustness.get("inputs", INPUTS)
        broken = sum(not case["ok"] for case in seen["inputs"] if case.get("kind", kinds[0] if kinds else "") in kinds)
        yield Gate("odd inputs that break it", broken, robustness["broken"], False, "robustness.broken")
    if "lost_to_noise" in robustness:
        yield Gate("ROUGE-L lost to noise", seen["noise"]["lost"], robustness["lost_to_noise"], False, "robustness.lost_to_noise")
    if wanted.get("signature"):
        yield Gate("answers that are not as the signature says", seen["signature"]["wrong"], 0, False, "signature")
