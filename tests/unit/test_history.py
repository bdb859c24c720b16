"""What is told of an application's revisions, and that an earlier one was put in again."""

import json

import pytest

from jupyter_kuberay.errors import NotFound
from jupyter_kuberay.history import (
    AGAIN,
    current_number,
    earlier,
    number_before,
    record,
    record_again,
    recorded,
    records_of,
    replaced_number,
)
from jupyter_kuberay.manifest import NAME
from jupyter_kuberay.revision import Again, Revision
from jupyter_kuberay.serveconfig import application, written

ONE = Revision(number=1, application="tiny", app="tiny:app", model="s3://m/1", deployments=("Tiny",), who="ada")
TWO = ONE.model_copy(update={"number": 2, "model": "s3://m/2"})
OTHER = ONE.model_copy(update={"application": "class_ifier", "model": "s3://m/9"})
CONFIG = written({"applications": [application(ONE, "tiny"), application(OTHER, "class_ifier", route_prefix="/c")]})
SERVICE = {
    "metadata": {"name": "tiny", "uid": "u-1", "labels": {"jupyter-kuberay/user": "ada", "jupyter-kuberay/name": "tiny"}},
    "spec": {"serveConfigV2": CONFIG},
}
AGAINS = [
    Again(who="bob", when="2026-11-27T10:00:00Z", why="two was worse", instead_of=2),
    Again(who="ada", when="2026-11-27T09:00:00Z", why="a rehearsal", instead_of=2),
]


def kept(*records):
    return [json.loads(json.dumps(each)) for each in records]


def test_going_back_is_told_with_the_revision_that_was_put_in_again_in_the_order_in_which_it_happened():
    records = kept(
        record(SERVICE, ONE), record(SERVICE, TWO), *(record_again(SERVICE, ONE, each, str(at)) for at, each in enumerate(AGAINS))
    )
    one, two = recorded(records, SERVICE)
    assert [each.why for each in one.again] == ["a rehearsal", "two was worse"]
    assert (one.again[1].who, one.again[1].instead_of, one.current) == ("bob", 2, True)
    assert (two.again, two.current) == ((), False)


def test_a_record_of_going_back_is_none_of_a_revision_and_is_not_found_as_one():
    again = record_again(SERVICE, ONE, AGAINS[0], "0a1b")
    assert again["metadata"]["name"] == "tiny-r1-again-0a1b"
    assert NAME not in again["metadata"]["labels"] and again["metadata"]["labels"][AGAIN] == "tiny"
    assert again["metadata"]["ownerReferences"][0]["uid"] == "u-1"


def test_what_was_put_in_again_is_in_no_record_of_the_revision_itself():
    assert "again" not in record(SERVICE, ONE.model_copy(update={"again": tuple(AGAINS)}))["data"]


def test_each_application_has_revisions_of_its_own_under_names_of_their_own():
    records = kept(record(SERVICE, ONE), record(SERVICE, OTHER), record_again(SERVICE, OTHER, AGAINS[0], "ff"))
    assert [each["metadata"]["name"] for each in records] == ["tiny-r1", "tiny.class.ifier-r1", "tiny.class.ifier-r1-again-ff"]
    assert [each.model for each in recorded(records, SERVICE)] == ["s3://m/1"]
    (other,) = recorded(records, SERVICE, "class_ifier")
    assert (other.model, other.application, len(other.again)) == ("s3://m/9", "class_ifier", 1)
    assert records_of(records, SERVICE, "class_ifier") == ["tiny.class.ifier-r1", "tiny.class.ifier-r1-again-ff"]


def test_records_from_before_there_were_applications_are_those_of_the_one_called_like_the_service():
    old = record(SERVICE, ONE)
    for key in ("application", "model_version", "scaling", "failed_gates"):
        old["data"].pop(key)
    assert recorded([old], SERVICE) == [ONE.model_copy(update={"current": True})]


def test_what_was_in_last_is_known_by_when_each_came():
    def one(number, minute, *again, current=False):
        returns = tuple(Again(who="", when=f"2026-01-01T00:{each:02}:00Z", why="", instead_of=0) for each in again)
        return ONE.model_copy(update={"number": number, "when": f"2026-01-01T00:{minute:02}:00Z", "again": returns, "current": current})

    assert replaced_number([one(1, 1, current=True)]) == 0
    assert replaced_number([one(1, 1), one(2, 2), one(3, 3, current=True)]) == 2
    assert replaced_number([one(1, 1, 4, current=True), one(2, 2), one(3, 3)]) == 3
    assert replaced_number([one(1, 1, 4), one(2, 2), one(3, 3), one(4, 5, current=True)]) == 1


def test_what_is_before_a_revision_is_the_last_number_below_it():
    revisions = [ONE, TWO.model_copy(update={"current": True}), TWO.model_copy(update={"number": 5})]
    assert (number_before(revisions, 5), current_number(revisions), earlier(revisions).number) == (2, 2, 1)
    with pytest.raises(NotFound, match="no revision before revision 1"):
        number_before(revisions, 1)
