"""What is shown beside a cell that takes long."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kuberay.faces.progress import Rows, Tasks, counted, since


def answer(**states: dict[str, int]) -> dict[str, Any]:
    """As Ray's dashboard tells it."""
    summary = {name: {"func_or_class_name": name, "type": "NORMAL_TASK", "state_counts": counts} for name, counts in states.items()}
    return {
        "result": True,
        "msg": "",
        "data": {"result": {"total": 1, "result": {"node_id_to_summary": {"cluster": {"summary": summary}}}}},
    }


def test_each_state_of_ray_counts_as_running_waiting_finished_or_failed() -> None:
    states = {"RUNNING": 1, "RUNNING_IN_RAY_GET": 2, "PENDING_NODE_ASSIGNMENT": 4, "SUBMITTED_TO_WORKER": 8, "FINISHED": 16, "FAILED": 32}
    assert counted(answer(step=states)) == {"step": Tasks(running=3, waiting=12, finished=16, failed=32)}


@pytest.mark.parametrize("nothing", [{}, {"data": None}, {"data": {"result": None}}, answer()])
def test_an_answer_with_nothing_in_it_is_no_tasks(nothing: dict[str, Any]) -> None:
    assert counted(nothing) == {}


def test_tasks_that_ended_in_earlier_cells_are_not_shown() -> None:
    before = {"step": Tasks(finished=5, failed=1), "old": Tasks(finished=2)}
    now = {"step": Tasks(running=1, finished=7, failed=1), "old": Tasks(finished=2)}
    assert since(now, before) == {"step": Tasks(running=1, finished=2)}


@given(st.dictionaries(st.text(max_size=5), st.builds(Tasks, *[st.integers(0, 99)] * 4), max_size=20))
def test_whatever_tasks_are_called_they_are_shown_as_text_not_markup(tasks: dict[str, Tasks]) -> None:
    html = Rows(tasks)._repr_html_()
    rest = html
    for tag in ("table", "thead", "tbody", "tr", "th", "td"):
        rest = rest.replace(f"</{tag}>", "")
    assert html.count("<td") >= len(tasks) if tasks and len(tasks) <= 12 else True
    for name in tasks:
        if "<" in name:
            assert name not in rest or name == "<"


def test_the_busiest_come_first_and_the_rest_is_counted() -> None:
    rows = Rows({f"task{number:02}": Tasks(running=number) for number in range(20)})
    assert repr(rows).splitlines()[0] == "task19: 19 running"
    assert "and 8 more" in rows._repr_html_()


def test_nothing_to_show_is_an_empty_output() -> None:
    assert Rows()._repr_html_() == repr(Rows()) == ""
