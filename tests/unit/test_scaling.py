"""How many replicas there are to be, in Serve's words and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kuberay.errors import InvalidSpec
from jupyter_kuberay.scaling import Scaling, bounds_of, options, read


def test_a_number_takes_the_place_of_bounds_and_bounds_that_of_a_number():
    scaled = options(Scaling(max_replicas=4, target_ongoing_requests=8), {"name": "Tiny", "num_replicas": 3})
    assert scaled == {"name": "Tiny", "autoscaling_config": {"min_replicas": 1, "max_replicas": 4, "target_ongoing_requests": 8}}
    assert options(Scaling(replicas=2), scaled) == {"name": "Tiny", "num_replicas": 2}


def test_what_is_not_said_stays_as_it_is():
    before = {"name": "Tiny", "autoscaling_config": {"min_replicas": 1, "max_replicas": 4, "upscale_delay_s": 5}, "max_ongoing_requests": 9}
    assert options(Scaling(), before) == before
    assert options(Scaling(max_replicas=8), before)["autoscaling_config"] == {"min_replicas": 1, "max_replicas": 8, "upscale_delay_s": 5}
    assert options(Scaling(gpus=0.5), {"ray_actor_options": {"num_cpus": 2}}) == {"ray_actor_options": {"num_cpus": 2, "num_gpus": 0.5}}


def test_one_that_may_go_to_zero_begins_with_a_replica_once_and_not_again_at_each_upgrade():
    first = options(Scaling(min_replicas=0), {})
    assert first["autoscaling_config"] == {"min_replicas": 0, "max_replicas": 1, "initial_replicas": 1}
    assert "initial_replicas" not in options(Scaling(), first)["autoscaling_config"]
    assert "initial_replicas" not in options(Scaling(max_replicas=3), first)["autoscaling_config"]


def test_a_bound_that_is_given_moves_the_one_that_was_in_its_way():
    before = {"autoscaling_config": {"min_replicas": 1, "max_replicas": 2}}
    assert bounds_of(options(Scaling(min_replicas=5), before)["autoscaling_config"]) == (5, 5)
    assert bounds_of(
        options(Scaling(max_replicas=2), {"autoscaling_config": {"min_replicas": 4, "max_replicas": 9}})["autoscaling_config"]
    ) == (2, 2)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"replicas": 2, "max_replicas": 4}, "one of both"),
        ({"min_replicas": 5, "max_replicas": 4}, "more than max_replicas"),
        ({"replicas": 0}, "replicas"),
        ({"target_ongoing_requests": 0}, "target_ongoing_requests"),
        ({"max_replicas": 0}, "max_replicas"),
    ],
)
def test_what_contradicts_itself_is_refused(given, what):
    with pytest.raises(InvalidSpec, match=what):
        Scaling(**given)


@pytest.mark.parametrize(
    ("scaling", "words"),
    [
        (Scaling(), ""),
        (Scaling(gpus=1), ""),
        (Scaling(replicas=1), "1 replica"),
        (Scaling(replicas=2), "2 replicas"),
        (Scaling(min_replicas=0), "0 to 1 replica"),
        (Scaling(min_replicas=0, max_replicas=4), "0 to 4 replicas"),
        (Scaling(max_replicas=4), "1 to 4 replicas"),
    ],
)
def test_it_is_told_in_a_few_words(scaling, words):
    assert scaling.words == words


def test_what_was_written_by_hand_and_cannot_be_is_not_read():
    assert read({"autoscaling_config": {"min_replicas": 9, "max_replicas": 1}}) == Scaling()
    assert read({"num_replicas": "auto", "ray_actor_options": {"num_gpus": 1}}) == Scaling(gpus=1)
    assert read({}) == Scaling()


@given(st.integers(1, 9) | st.none(), st.integers(0, 3) | st.none(), st.integers(3, 9) | st.none(), st.floats(0, 4) | st.none())
def test_what_is_written_is_what_is_read(replicas, least, most, gpus):
    if replicas is not None:
        least = most = None
    written = options(Scaling(replicas=replicas, min_replicas=least, max_replicas=most, gpus=gpus), {})
    found = read(written)
    assert (found.replicas, found.gpus) == (replicas, gpus)
    if found.autoscales:
        assert bounds_of(found.bounds) == (1 if least is None else least, most if most is not None else max(1, least or 0))
