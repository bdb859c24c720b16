"""Kubernetes quantities are checked, compared by value, and keep the words that they were asked for in."""

import copy
import pickle
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kuberay.quantity import Quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500m", "0.5"),
        ("2", "2"),
        ("16Gi", str(16 * 2**30)),
        ("8G", "8000000000"),
        ("1.5", "1.5"),
        (".5", "0.5"),
        ("1e3", "1000"),
        ("100n", "1e-7"),
        (2, "2"),
        (0.5, "0.5"),
    ],
)
def test_a_quantity_has_the_value_that_kubernetes_gives_it(text, value):
    assert Quantity(text).value == Decimal(value)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("8 G", "'8G'"),
        ("-1", "negative"),
        ("16GB", "'16G'"),
        ("banana", "'16Gi'"),
        ("", "'16Gi'"),
        ("1Gi ", "'1Gi'"),
        ("nan", "'16Gi'"),
        ("1e999", "smaller"),
        ("٣", "'16Gi'"),
        ("1kk", "'16Gi'"),
    ],
)
def test_what_is_no_quantity_is_refused_with_its_words_and_what_would_be_one(text, hint):
    with pytest.raises(ValueError, match=r"quantity|count|write") as refused:
        Quantity(text)
    assert repr(text) in str(refused.value)
    assert hint in str(refused.value)


@pytest.mark.parametrize("value", [True, None, [], float("nan"), float("inf")])
def test_what_is_no_text_and_no_number_is_refused(value):
    with pytest.raises(ValueError, match="no quantity"):
        Quantity(value)


def test_quantities_compare_by_value_and_keep_their_words():
    assert Quantity("1Gi") == Quantity("1024Mi")
    assert hash(Quantity("1Gi")) == hash(Quantity("1024Mi"))
    assert Quantity("8G") < Quantity("8Gi")
    assert (str(Quantity("1024Mi")), int(Quantity("1500m"))) == ("1024Mi", 2)


def test_a_quantity_does_not_change_and_can_be_copied_and_sent():
    size = Quantity("16Gi")
    with pytest.raises(AttributeError):
        size.text = "1"
    assert copy.deepcopy(size) == pickle.loads(pickle.dumps(size)) == size


@given(st.integers(min_value=0, max_value=10**6), st.sampled_from(["", "m", "k", "M", "G", "Ki", "Mi", "Gi"]))
def test_a_number_and_its_suffix_are_read_back(number, suffix):
    assert str(Quantity(f"{number}{suffix}")) == f"{number}{suffix}"
    assert Quantity(f"{number + 1}{suffix}") > Quantity(f"{number}{suffix}")
