"""What may be searched, and what is told of a search. No Ray is started."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jupyter_kuberay.lifecycle import training, tuning
from jupyter_kuberay.lifecycle._run import LifecycleError
from tests.unit.training import settings

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("given", "kind", "ends"),
    [((1e-4, 1e-2), "Float", (1e-4, 1e-2)), ((8, 64), "Integer", (8, 64)), ([8, 16], "Categorical", None)],
)
def test_a_space_in_plain_values_is_one_of_ray_tunes(given: Any, kind: str, ends: tuple[float, float] | None):
    name = "learning_rate" if kind == "Float" else "batch_size"
    domain = tuning._domains({name: given})[name]
    assert type(domain).__name__ == kind
    if ends:
        assert (domain.lower, domain.upper) == ends and "Log" in type(domain.sampler).__name__
    else:
        assert domain.categories == given


def test_ray_tunes_own_spaces_are_taken_as_they_are():
    from ray import tune

    domain = tune.uniform(0.001, 0.002)
    assert tuning._domains({"learning_rate": domain}) == {"learning_rate": domain}


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"depth": [1, 2]}, "depth cannot be searched. Name some of learning_rate, batch_size"),
        ({"learning_rate": (1e-2, 1e-4)}, r"\(0.01, 0.0001\) is no space for learning_rate"),
        ({"learning_rate": (0, 1e-4)}, "is no space for learning_rate"),
        ({"learning_rate": 1e-3}, "0.001 is no space for learning_rate"),
        ({}, "There is nothing to search"),
    ],
)
def test_what_cannot_be_searched_is_refused(space: dict[str, Any], said: str):
    with pytest.raises(LifecycleError, match=said):
        tuning._domains(space)


@pytest.mark.parametrize(("usual", "batches", "tried_first"), [(True, [8, 16], True), (False, [8, 16], False), (True, [4], False)])
def test_the_usual_settings_are_tried_first_where_they_are_in_the_space(usual: bool, batches: list[int], tried_first: bool):
    asked = settings("data", learning_rate=1.5e-3, batch_size=16)
    rates = (1e-4, 1e-2) if usual else (1e-2, 1e-1)
    domains = tuning._domains({"learning_rate": rates, "batch_size": batches})
    search = tuning._strategy(asked, domains, trials=6, at_once=2).search_alg
    search.set_search_properties("validation", "min", domains)
    found = search.suggest("1")
    assert found.keys() == {"learning_rate", "batch_size"}
    assert (found == {"learning_rate": 1.5e-3, "batch_size": 16}) == tried_first


def test_optuna_learns_from_what_was_tried_also_from_a_loss_that_is_no_number():
    domains = tuning._domains({"learning_rate": (1e-4, 1e2)})
    search = tuning._strategy(settings("data"), domains, trials=40, at_once=1).search_alg
    search.set_search_properties("validation", "min", domains)
    tried = []
    for number in range(40):
        rate = search.suggest(str(number))["learning_rate"]
        tried.append(rate)
        loss = abs(rate - 3e-3) if rate < 1 else float("inf")
        search.on_trial_complete(str(number), {"validation": loss, "training_iteration": 1})
    assert sum(rate < 1 for rate in tried[20:]) >= 18 and min(abs(rate - 3e-3) for rate in tried) < 1e-3


def result(losses: list[float], problem: str = "", error: str = "") -> SimpleNamespace:
    metrics: dict[str, Any] = {"losses": [{"epoch": at, "validation": loss} for at, loss in enumerate(losses, 1)], "seconds": 1.5}
    return SimpleNamespace(
        metrics=metrics | ({"problem": problem} if problem else {}),
        config={"learning_rate": 0.1},
        error=RuntimeError(error) if error else None,
    )


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (result([3, 2]), "ended"),
        (result([3]), "stopped early"),
        (result([3], problem="The loss is nan."), "failed"),
        (result([], error="OutOfMemory"), "failed"),
    ],
)
def test_how_a_trial_ended_is_told(found: SimpleNamespace, state: str):
    assert tuning._record(1, found, epochs=2)["state"] == state


def test_the_best_is_that_with_the_lowest_loss_of_any_epoch_and_none_that_failed():
    found = [result([3, 2.5]), result([2, 2.6]), result([1], problem="The loss is nan.")]
    tried = [tuning._record(number, each, epochs=2) for number, each in enumerate(found)]
    tried[1]["settings"] = {"learning_rate": 0.2}
    assert tuning._best(tried) == {"best": {"learning_rate": 0.2}, "loss": 2}


def test_a_search_in_which_all_fail_tells_why():
    tried = [tuning._record(1, result([], problem="The loss is nan at step 3 of epoch 1."), epochs=2)]
    with pytest.raises(LifecycleError, match="No trial came to a loss: The loss is nan at step 3 of epoch 1"):
        tuning._best(tried)


def calls(page: str) -> list[tuple[str, dict[str, ast.expr]]]:
    """Of `train` and `tune` in the examples of a page, with their parameters by name."""
    blocks = re.findall(r"^```python\n(.*?)^```", (DOCS / f"{page}.md").read_text(), re.M | re.S)
    found = [
        node
        for block in blocks
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".run")
    ]
    return [(ast.unparse(call.args[0]), {each.arg: each.value for each in call.keywords if each.arg}) for call in found]


@pytest.mark.parametrize("page", ["training", "tuning"])
def test_the_pages_examples_name_parameters_that_there_are(page: str):
    there = {"training.train": training.train, "tuning.tune": tuning.tune}
    said = calls(page)
    assert said
    for name, given in said:
        assert given.keys() <= inspect.signature(there[name]).parameters.keys()


@pytest.mark.parametrize(("page", "function"), [("training", training.train), ("tuning", tuning.tune)])
def test_the_pages_tables_name_parameters_that_there_are(page: str, function: Any):
    rows = re.findall(r"^\| (`.*?) \|", (DOCS / f"{page}.md").read_text(), re.M)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named and named <= inspect.signature(function).parameters.keys()
