"""What a pipeline is: notebooks, their parameters, and what feeds what. Pure.

``pipeline.yaml`` names them::

    name: summarizer
    parameters: {run_dir: ../runs/pipeline, epochs: 0}   # overridden by -p
    output: ${run_dir}/notebooks                          # a folder or a URL; default: runs/NAME
    steps:
      data:
        notebook: 02_data.ipynb                           # beside this file
        parameters: {run_dir: "${run_dir}"}
        outputs: [path, rows]                             # what it records by record(name, value)
      training:
        notebook: 03_training.ipynb
        parameters: {data: "${data.path}", epochs: "${epochs}"}
        outputs: [model]
      evaluation:
        notebook: 05_evaluation.ipynb
        parameters: {model: "${training.model}"}
        after: [data]                                     # comes later without taking a value
        inputs: [model]                                   # parameters whose folders count by what is in them

``${step.name}`` is the value that the step's notebook recorded under that name,
``${name}`` a parameter of the pipeline. A reference that is the whole text keeps
its type, one within a text becomes part of it; ``$${`` is a plain ``${``. The
references and ``after`` make the order; what does not wait for each other runs
side by side.

A step is not run again while nothing that it was made from has changed: its
notebook's code, its parameters with all values filled in, the files that these name
(as the step left them, if it wrote any itself), folders that another step
recorded or whose parameter is in ``inputs``, and for each step of ``after``,
that step's run. So a step that ran again and recorded the same leaves the steps
that only take its values as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from jupyter_kuberay.batch.references import Reference, filled, references
from jupyter_kuberay.batch.values import digest, nearest, read_yaml
from jupyter_kuberay.errors import InvalidSpec

MOST_STEPS = 500
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_TOP = {"name", "parameters", "output", "steps", "description"}
_STEP = {"notebook", "parameters", "outputs", "after", "inputs", "description"}


@dataclass(frozen=True)
class PipelineStep:
    """A notebook of a pipeline."""

    name: str
    notebook: str  # as it is written
    parameters: Mapping[str, Any] = field(default_factory=dict)  # with references
    outputs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    description: str = ""

    @property
    def output(self) -> str:
        """The file in the pipeline's output that its notebook is written to."""
        return f"{self.name}.ipynb"

    @property
    def takes(self) -> tuple[Reference, ...]:
        """The values of other steps that it takes, each once."""
        return tuple(dict.fromkeys(one for one in references(self.parameters) if one.step))

    @property
    def needs(self) -> tuple[str, ...]:
        """The steps that come before it, each once."""
        return tuple(dict.fromkeys([*(one.step for one in self.takes), *self.after]))


@dataclass(frozen=True)
class Pipeline:
    """Steps in an order in which they can run: each after what it needs."""

    name: str
    steps: tuple[PipelineStep, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    output: str = ""  # a folder or URL, without references
    description: str = ""

    def __getitem__(self, name: str) -> PipelineStep:
        return next(step for step in self.steps if step.name == name)

    def after(self, name: str) -> tuple[str, ...]:
        """All steps that need ``name``, directly or not, in order."""
        found = {name}
        for step in self.steps:
            if found.intersection(step.needs):
                found.add(step.name)
        return tuple(step.name for step in self.steps if step.name in found - {name})


# --- reading -------------------------------------------------------------


def parse_pipeline(text: str, where: str, parameters: Mapping[str, Any] | None = None) -> Pipeline:
    """The pipeline in ``text``, with ``parameters`` in the place of its own.

    Parameters
    ----------
    where
        The file's name, for errors.

    Raises
    ------
    InvalidSpec
        It is not YAML, has a key that there is not, refers to a step, an output or a parameter that there
        is not, or its steps wait for each other in a circle: told in a sentence.
    """
    found = _mapping(read_yaml(text, where), where, "a pipeline")
    _known(found, _TOP, where)
    steps = _mapping(found.get("steps"), f"{where}: steps", "a mapping of steps")
    if len(steps) > MOST_STEPS:
        raise InvalidSpec(f"{where} has {len(steps):,} steps, more than {MOST_STEPS}.", "Make several pipelines of it.")
    own = _parameters(found.get("parameters"), where)
    given = _overridden(own, parameters or {}, where)
    name = str(found.get("name") or re.sub(r"\.ya?ml$", "", re.split(r"[/\\]", where)[-1]))
    if references([name, own]):
        raise InvalidSpec(f"{where}: its name and parameters cannot refer to others.", "Write their values; references are for steps.")
    _told_apart(steps, where)
    pipeline = Pipeline(
        name,
        tuple(_step(key, step, where) for key, step in steps.items()),
        given,
        _output(found.get("output"), given, name, where),
        str(found.get("description") or ""),
    )
    for step in pipeline.steps:
        _check_references(step, pipeline, where)
    return replace(pipeline, steps=_ordered(pipeline.steps, where))


def _told_apart(names: Iterable[Any], where: str) -> None:
    """A step's output has its name, and some file systems do not tell "A" from "a"."""
    seen: dict[str, str] = {}
    for name in map(str, names):
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            raise InvalidSpec(f"{where}: steps {other} and {name} differ in capitals only.", "Rename one: their outputs are files.")


def _step(name: Any, found: Any, where: str) -> PipelineStep:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidSpec(f"{where}: {name!r} is no name of a step.", "Letters, digits, - and _, beginning with a letter.")
    here = f"{where}: step {name}"
    found = _mapping(found, here, "a mapping with a notebook")
    _known(found, _STEP, here)
    notebook = found.get("notebook")
    if not isinstance(notebook, str) or not notebook:
        raise InvalidSpec(f"{here} names no notebook.", "Add notebook: NAME.ipynb.")
    step = PipelineStep(
        name,
        notebook,
        _parameters(found.get("parameters"), here),
        _names(found.get("outputs"), f"{here}: outputs"),
        _names(found.get("after"), f"{here}: after"),
        _names(found.get("inputs"), f"{here}: inputs"),
        str(found.get("description") or ""),
    )
    for one in step.inputs:
        if one not in step.parameters:
            raise InvalidSpec(f"{here}: inputs names {one}, which is none of its parameters.", nearest(one, step.parameters))
    return step


def _mapping(found: Any, where: str, what: str) -> Mapping[str, Any]:
    if not isinstance(found, Mapping) or not found:
        raise InvalidSpec(f"{where} is not {what}.", "Such as: steps: {data: {notebook: data.ipynb}}")
    return found


def _known(found: Mapping[str, Any], known: set[str], where: str) -> None:
    for key in found:
        if key not in known:
            raise InvalidSpec(f"{where} has no key {str(key)!r}.", nearest(str(key), known))


def _parameters(found: Any, where: str) -> Mapping[str, Any]:
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise InvalidSpec(f"{where}: parameters is not a mapping.", "Such as: parameters: {epochs: 3}")
    for name in found:
        if not isinstance(name, str) or not name.isidentifier():
            raise InvalidSpec(f"{where}: {name!r} is no name of a parameter.", "Letters, digits and _, beginning with a letter.")
    return dict(found)


def _names(found: Any, where: str) -> tuple[str, ...]:
    if found is None:
        return ()
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise InvalidSpec(f"{where} is not a list of names.", "Such as: [one, another]")
    return tuple(dict.fromkeys(found))


def _overridden(own: Mapping[str, Any], given: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    for name in given:
        if name not in own:
            raise InvalidSpec(f"{where} has no parameter {name}.", nearest(name, own))
    return {**own, **given}


def _output(found: Any, parameters: Mapping[str, Any], name: str, where: str) -> str:
    if found is None:
        return f"runs/{re.sub(r'[^A-Za-z0-9._-]+', '-', name).strip('-.') or 'pipeline'}"
    if not isinstance(found, str) or not found:
        raise InvalidSpec(f"{where}: output is no folder and no URL.", "Such as: output: runs/training")
    for one in references(found):
        if one.step or one.name not in parameters:
            raise InvalidSpec(f"{where}: output refers to {one}, which is no parameter of the pipeline.", nearest(one.name, parameters))
    return str(filled(found, parameters, {}))


def _check_references(step: PipelineStep, pipeline: Pipeline, where: str) -> None:
    here = f"{where}: step {step.name}"
    steps = {one.name: one for one in pipeline.steps}
    for name in step.after:
        if name not in steps:
            raise InvalidSpec(f"{here} comes after {name}, which is no step.", nearest(name, steps))
    for one in references(step.parameters):
        if not one.step:
            if one.name not in pipeline.parameters:
                hint = f"A value of a step is ${{{one.name}.NAME}}." if one.name in steps else nearest(one.name, pipeline.parameters)
                raise InvalidSpec(f"{here} refers to {one}, which is no parameter of the pipeline.", hint)
        elif one.step not in steps:
            raise InvalidSpec(f"{here} refers to {one}, but there is no step {one.step}.", nearest(one.step, steps))
        elif one.name not in steps[one.step].outputs:
            declared = steps[one.step].outputs
            hint = nearest(one.name, declared) if declared else f"Add outputs: [{one.name}] to step {one.step}."
            raise InvalidSpec(f"{here} refers to {one}, but step {one.step} does not declare that output.", hint)


# --- order ---------------------------------------------------------------


def _ordered(steps: Sequence[PipelineStep], where: str) -> tuple[PipelineStep, ...]:
    """Each after what it needs; otherwise as they are written."""
    left, done, order = list(steps), set[str](), list[PipelineStep]()
    while left:
        ready = next((step for step in left if done.issuperset(step.needs)), None)
        if ready is None:
            circle = _circle(left)
            raise InvalidSpec(f"{where}: these steps wait for each other: {' → '.join(circle)}.", "Remove one of the references or afters.")
        left.remove(ready)
        done.add(ready.name)
        order.append(ready)
    return tuple(order)


def _circle(steps: Iterable[PipelineStep]) -> list[str]:
    """One, in the order in which they would run, its first step named again in the end; ``steps`` all wait."""
    needs = {step.name: step.needs for step in steps}
    way = [next(iter(needs))]
    while True:
        following = next(name for name in needs[way[-1]] if name in needs)
        if following in way:
            return [following, *reversed(way[way.index(following) :])]
        way.append(following)


# --- checks and fingerprints ---------------------------------------------


def check_parameters(pipeline: Pipeline, known: Mapping[str, Iterable[str]]) -> None:
    """Raise `InvalidSpec` where a step has a parameter that its notebook lacks; ``known`` are those that it has, by step."""
    for step in pipeline.steps:
        has = set(known[step.name])
        for name in step.parameters:
            if name not in has:
                hint = nearest(name, has) if has else "Tag the cell that has them with 'parameters'."
                raise InvalidSpec(f"Step {step.name}: {step.notebook} has no parameter {name}.", hint)


def missing_outputs(step: PipelineStep, values: Mapping[str, Any]) -> tuple[str, ...]:
    """Which of its declared outputs the notebook has not recorded."""
    return tuple(name for name in step.outputs if name not in values)


def fingerprint(code: str, parameters: Mapping[str, Any], marks: Mapping[str, str], runs: Mapping[str, str]) -> str:
    """What a step's run was made from, as one SHA-256 in hexadecimal.

    Parameters
    ----------
    code
        What the notebook does, in short.
    parameters
        With all values filled in.
    marks
        By file, folder or URL among the parameters' values: what is in it, in short.
    runs
        By step of ``after``: its run's id.
    """
    return digest([code, dict(parameters), dict(marks), dict(runs)])
