"""Any person's name gives an object name that Kubernetes takes, and no two people the same one."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kuberay.names import MAX_CLUSTER_NAME, MAX_SERVICE_NAME, label_value, object_name

RFC_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
PEOPLE = ["ada lovelace", "Jürgen Groß", "🚀", "a" * 200, "x@example.com", "", "-", "42", "../etc/passwd", "a\0b"]


@pytest.mark.parametrize("person", PEOPLE)
def test_a_person_called_anything_gets_a_name_that_kubernetes_accepts(person):
    name = object_name(person, "training", max_length=MAX_SERVICE_NAME)
    assert RFC_1035.fullmatch(name)
    assert len(name) <= MAX_SERVICE_NAME


@pytest.mark.parametrize("person", PEOPLE)
def test_a_person_called_anything_gets_a_label(person):
    assert LABEL.fullmatch(label_value(person))


@pytest.mark.parametrize(
    ("one", "other"),
    [("Jürgen", "Jurgen"), ("a.b", "a-b"), ("ada ", "ada"), ("🚀", "🛰"), ("a" * 200, "a" * 201), ("ADA", "ada")],
)
def test_two_people_whose_names_differ_only_in_what_is_dropped_do_not_meet(one, other):
    assert object_name(one, "x") != object_name(other, "x")
    assert label_value(one) != label_value(other)


def test_a_good_name_stays_as_it_is():
    assert object_name("ada", "training") == "ada-training"


@given(st.tuples(st.text(), st.text()), st.tuples(st.text(), st.text()))
def test_different_texts_give_different_names(one, other):
    assert (object_name(*one) == object_name(*other)) == (one == other)


@given(st.lists(st.text(), min_size=1, max_size=3), st.integers(min_value=20, max_value=63))
def test_every_text_gives_a_valid_name_of_the_length_allowed(parts, longest):
    name = object_name(*parts, max_length=longest)
    assert RFC_1035.fullmatch(name)
    assert len(name) <= longest <= 63
    assert len(object_name(*parts)) <= MAX_CLUSTER_NAME
