"""Patches as people write them: what is applied is what was meant, and two objects differ by a patch that says so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kuberay.overlay import apply, difference

values = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "env", "containers"]), inner, max_size=3)
        | st.lists(st.fixed_dictionaries({"name": st.sampled_from("xyz")}, optional={"value": inner}), max_size=3)
    ),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from(["a", "b", "env", "volumes", "containers"]), values, max_size=4)


@given(objects, objects)
def test_the_difference_of_two_objects_makes_one_of_the_other(base, target):
    assert apply(base, difference(base, target)) == target


@given(objects)
def test_what_does_not_differ_needs_no_patch(base):
    assert difference(base, base) == {}


@pytest.mark.parametrize(
    ("base", "patch", "result"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": 2}}),
        ({"a": 1}, {"a": None}, {}),
        ({"args": [1, 2]}, {"args": [3]}, {"args": [3]}),
        (
            {"containers": [{"name": "ray-head", "image": "i"}]},
            {"containers": [{"name": "ray-head", "tty": True}, {"name": "log"}]},
            {"containers": [{"name": "ray-head", "image": "i", "tty": True}, {"name": "log"}]},
        ),
        ({"ports": [{"name": "a"}, {"name": "b"}]}, {"ports": [{"name": "a", "$patch": "delete"}]}, {"ports": [{"name": "b"}]}),
        ({"env": [{"name": "A"}]}, {"env": [{"$patch": "replace"}, {"name": "B"}]}, {"env": [{"name": "B"}]}),
        (
            {"volumeMounts": [{"name": "v", "mountPath": "/a"}]},
            {"volumeMounts": [{"name": "v", "mountPath": "/b"}]},
            {"volumeMounts": [{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/b"}]},
        ),
    ],
)
def test_a_patch_does_what_kubernetes_would(base, patch, result):
    assert apply(base, patch) == result


def test_neither_object_is_changed():
    base, patch = {"env": [{"name": "A", "value": "1"}]}, {"env": [{"name": "A", "value": "2"}]}
    apply(base, patch)
    assert (base, patch) == ({"env": [{"name": "A", "value": "1"}]}, {"env": [{"name": "A", "value": "2"}]})
