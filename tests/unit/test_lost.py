"""What is said of a connection that was lost."""

from __future__ import annotations

from datetime import datetime

from jupyter_kuberay.faces.lost import Lost
from jupyter_kuberay.held import names_lost

AT = datetime(2026, 11, 27, 14, 3, 22)


def test_when_it_was_what_went_with_it_and_what_to_do_are_said() -> None:
    assert repr(Lost("alice-1", AT, ["counter", "refs"])).splitlines() == [
        "The connection to cluster 'alice-1' was lost at 14:03:22.",
        "What these hold on the cluster went with it: counter, refs.",
        "Attach again: %kuberay attach alice-1. Detached actors are found again by ray.get_actor(name) then.",
    ]


def test_one_that_is_there_again_asks_for_nothing() -> None:
    first, last = Lost("alice-1", AT, [], again=True).sentences
    assert first == "The connection to cluster 'alice-1' was lost at 14:03:22, and it is attached again."
    assert last == "Detached actors are found again by ray.get_actor(name)."


def test_one_that_could_not_be_attached_again_says_why() -> None:
    assert "It could not be attached again: <b>." in Lost("a", None, [], problem="<b>.").sentences
    assert "&lt;b&gt;." in Lost("a", None, [], problem="<b>.")._repr_html_()


def test_many_names_are_counted() -> None:
    assert "and 5 more" in repr(Lost("a", AT, [f"x{number}" for number in range(25)]))


def test_variables_that_hold_references_or_actors_are_named_and_others_are_not() -> None:
    from ray.util.client.common import ClientActorHandle, ClientObjectRef

    class Reference(ClientObjectRef):
        """Without a connection to ask for it."""

        def __init__(self) -> None:
            pass

        def __del__(self) -> None:
            pass

    handle = ClientActorHandle.__new__(ClientActorHandle)
    namespace = {"one": Reference(), "many": [1, Reference()], "by_name": {"a": Reference()}, "actor": handle, "_": Reference(), "x": [1]}
    assert names_lost(namespace) == ["actor", "by_name", "many", "one"]
