"""Several applications in one ``serveConfigV2``, each put in and taken out without a change of the others."""

import pytest
import yaml

from jupyter_kuberay.errors import Conflict, InvalidSpec, NotFound
from jupyter_kuberay.revision import Revision
from jupyter_kuberay.scaling import Scaling
from jupyter_kuberay.serveconfig import added, application, applications, checked_place, chosen, put_in, read, taken_out, written

ONE = Revision(number=1, application="svc", app="one:app", model="m1", deployments=("One",))
TWO = ONE.model_copy(update={"application": "classifier", "app": "two:app", "model": "c1", "deployments": ("Two",)})
ENTRY = application(TWO, "classifier", route_prefix="/classify", scaling=Scaling(replicas=2))
ALONE = written({"http_options": {"port": 8000}, "applications": [application(ONE, "svc")]})
BOTH = added(ALONE, ENTRY)


def of(text, name):
    return next(each for each in yaml.safe_load(text)["applications"] if each["name"] == name)


def test_an_added_application_leaves_the_others_and_the_options_alone():
    assert of(BOTH, "svc") == of(ALONE, "svc") and of(BOTH, "classifier") == ENTRY
    assert yaml.safe_load(BOTH)["http_options"] == {"port": 8000}
    assert [(each.name, each.route_prefix, each.ours) for each in applications(BOTH)] == [
        ("svc", "/", True),
        ("classifier", "/classify", True),
    ]


def test_an_upgrade_of_one_application_leaves_the_other_alone():
    after = put_in(BOTH, TWO.model_copy(update={"number": 2, "model": "c2"}), "classifier")
    assert of(after, "svc") == of(BOTH, "svc")
    assert (read(after, "classifier").model, of(after, "classifier")["deployments"][0]["num_replicas"]) == ("c2", 2)


def test_a_route_prefix_and_a_name_are_an_applications_own():
    with pytest.raises(Conflict, match=r"'classifier' answers at '/classify' already, where 'other'") as error:
        added(BOTH, {**ENTRY, "name": "other"})
    assert "'/other'" in error.value.hint
    with pytest.raises(Conflict, match="There is an application 'svc' already"):
        added(BOTH, {**ENTRY, "name": "svc", "route_prefix": "/svc"})


def test_an_application_that_is_taken_out_leaves_the_others():
    assert yaml.safe_load(taken_out(BOTH, "classifier")) == yaml.safe_load(ALONE)
    with pytest.raises(NotFound, match=r"no application 'other'.*svc, classifier"):
        taken_out(BOTH, "other")


def test_where_none_is_named_the_one_called_like_the_service_is_meant_or_the_only_one():
    assert (chosen(BOTH, "svc"), chosen(BOTH, "svc", "classifier"), chosen(taken_out(BOTH, "svc"), "svc")) == (
        "svc",
        "classifier",
        "classifier",
    )
    with pytest.raises(NotFound, match="no application 'other'"):
        chosen(BOTH, "svc", "other")
    with pytest.raises(InvalidSpec, match="svc, classifier"):
        chosen(BOTH, "elsewhere")


@pytest.mark.parametrize("name", ["text_summarizer", "a", "b-2", "a" * 47])
@pytest.mark.parametrize("route", ["/", "/classify", "/v1/classify"])
def test_names_and_route_prefixes_that_serve_takes_are_taken(name, route):
    checked_place(name, route)


@pytest.mark.parametrize("name", ["", "A", "a.b", "a--b", "-a", "a" * 48, "a b"])
def test_a_name_that_no_record_could_have_is_refused(name):
    with pytest.raises(InvalidSpec, match="is no name for one"):
        checked_place(name, "/")


@pytest.mark.parametrize("route", ["classify", "/classify/", "/a b", "/a?b", "/{a}", "//", ""])
def test_a_route_prefix_that_serve_would_refuse_is_refused(route):
    with pytest.raises(InvalidSpec, match="route_prefix"):
        checked_place("a", route)
