"""A revision in the strings that carry it: into ``serveConfigV2`` and out, and into the record that keeps it."""

import base64
import io
import json
import shlex
import zipfile

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kuberay.errors import InvalidSpec, NotFound
from jupyter_kuberay.history import earlier, next_number, record, recorded
from jupyter_kuberay.revision import INLINE_LIMIT, Revision, digest, inline, zipped
from jupyter_kuberay.scaling import Scaling
from jupyter_kuberay.serveconfig import application, put_in, read, swap, written

FIRST = Revision(number=1, app="tiny:app", code="UEsF", sha256="a" * 64, model="s3://m/1", settings={"beams": 4}, deployments=("Tiny",))
SECOND = FIRST.model_copy(update={"number": 2, "model": "s3://m/2"})
SERVICE = {"metadata": {"name": "tiny", "uid": "u-1", "labels": {"jupyter-kuberay/user": "ada", "other": "x"}}, "spec": {}}


def serving(text):
    return SERVICE | {"spec": {"serveConfigV2": text}}


def config(revision=FIRST, **options):
    return written({"http_options": {"port": 8000}, "applications": [application(revision, "tiny", scaling=Scaling(**options))]})


def test_the_same_files_give_the_same_zip_in_whatever_order_they_come():
    files = {"b.py": b"2", "a/__init__.py": b"", "a/data.txt": b"\0\xff"}
    assert zipped(files) == zipped(dict(reversed(files.items())))
    with zipfile.ZipFile(io.BytesIO(zipped(files))) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == files


def test_changed_files_give_another_digest():
    assert digest(zipped({"a.py": b"1"})) != digest(zipped({"a.py": b"2"})) != digest(zipped({"b.py": b"2"}))


def test_code_that_does_not_fit_into_a_command_line_is_not_carried_inline():
    assert base64.b64decode(inline(b"x" * (INLINE_LIMIT * 3 // 4))) == b"x" * (INLINE_LIMIT * 3 // 4)
    assert inline(b"x" * INLINE_LIMIT) is None


def test_the_command_of_a_try_out_fits_into_what_linux_takes_as_one_argument():
    largest = FIRST.model_copy(update={"code": "x" * INLINE_LIMIT, "settings": {"prompt": "y" * 20_000}})
    assert len(largest.try_out) < 128 * 1024


@pytest.mark.parametrize("code", ["UEsF", "", "s3://bucket/a b;c.zip"])
def test_a_try_out_carries_what_serve_will_carry(code):
    revision = FIRST.model_copy(update={"code": code})
    *_, text, carried = shlex.split(revision.try_out)
    asked = json.loads(base64.b64decode(text))
    entry = application(revision, "tiny")
    assert asked["args"] | {"code": carried} == entry["args"]
    assert asked["user_config"] == {"Tiny": entry["deployments"][0]["user_config"]}


def test_what_is_put_in_is_what_is_read():
    found = read(put_in(config(), SECOND))
    assert found == SECOND.model_copy(update={"application": "tiny", "current": True})


@given(st.dictionaries(st.text(min_size=1).filter(lambda key: key not in ("model", "revision")), st.text() | st.integers() | st.booleans()))
def test_any_settings_survive_the_way_into_the_string_and_back(settings):
    wanted = FIRST.model_copy(update={"settings": settings})
    assert read(put_in(config(), wanted)).settings == settings


def test_new_weights_change_nothing_but_user_config():
    before, after = (yaml.safe_load(text) for text in (config(replicas=2, gpus=0.5), put_in(config(replicas=2, gpus=0.5), SECOND)))
    assert after["applications"][0]["deployments"][0].pop("user_config") == {"model": "s3://m/2", "beams": 4, "revision": 2}
    del before["applications"][0]["deployments"][0]["user_config"]
    assert after == before


def test_what_a_person_changed_by_hand_survives_an_upgrade():
    text = config().replace("route_prefix: /", "route_prefix: /tiny")
    parsed = yaml.safe_load(text)
    parsed["applications"][0]["deployments"].append({"name": "Cache", "num_replicas": 3})
    parsed["applications"].append({"name": "other", "import_path": "other:app", "route_prefix": "/other"})
    after = yaml.safe_load(put_in(written(parsed), SECOND))
    assert after["applications"][0]["route_prefix"] == "/tiny"
    assert {"name": "Cache", "num_replicas": 3} in after["applications"][0]["deployments"]
    assert after["applications"][1] == parsed["applications"][1]


def test_another_number_of_replicas_is_taken_over_and_others_are_kept():
    assert yaml.safe_load(put_in(config(replicas=2), SECOND))["applications"][0]["deployments"][0]["num_replicas"] == 2
    assert (
        yaml.safe_load(put_in(config(replicas=2), SECOND, scaling=Scaling(replicas=5)))["applications"][0]["deployments"][0]["num_replicas"]
        == 5
    )


def test_an_application_that_takes_no_user_config_is_built_anew_with_its_settings():
    builder = FIRST.model_copy(update={"deployments": ()})
    entry = application(builder, "tiny")
    assert entry["args"]["settings"] == {"model": "s3://m/1", "beams": 4, "revision": 1} and "deployments" not in entry
    assert read(written({"applications": [entry]})) == builder.model_copy(update={"application": "tiny", "current": True})


def test_replicas_need_a_deployment_to_be_of():
    with pytest.raises(InvalidSpec, match="deployments="):
        application(FIRST.model_copy(update={"deployments": ()}), "tiny", scaling=Scaling(replicas=2))
    assert application(FIRST.model_copy(update={"deployments": ()}), "tiny", main="Tiny", scaling=Scaling(replicas=2))["deployments"] == [
        {"name": "Tiny", "num_replicas": 2}
    ]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: [b\nc: :", "not YAML"),
        ("applications: 3", "no list of applications"),
        ("applications: [{name: x, import_path: 'm:app'}]", "was not published from here"),
    ],
)
def test_a_service_that_was_not_published_from_here_is_left_alone(text, what):
    with pytest.raises(InvalidSpec, match=what):
        put_in(text, SECOND)


def test_of_two_applications_the_one_that_is_meant_must_be_named():
    both = written({"applications": [application(FIRST, "one"), application(FIRST, "two", route_prefix="/two")]})
    with pytest.raises(InvalidSpec, match="one, two"):
        put_in(both, SECOND)
    assert read(put_in(both, SECOND, "two"), "two").number == 2
    assert read(put_in(both, SECOND, "two"), "one").number == 1


def test_a_patch_tests_for_what_it_replaces():
    assert swap({"serveConfigV2": "old"}, {"serveConfigV2": "new"}) == [
        {"op": "test", "path": "/spec/serveConfigV2", "value": "old"},
        {"op": "replace", "path": "/spec/serveConfigV2", "value": "new"},
    ]


def test_a_record_is_owned_by_its_service_and_gives_the_revision_back():
    why = FIRST.model_copy(update={"who": "ada", "when": "2026-11-23T00:00:00Z", "why": "better", "metrics": {"rougeL": 0.94}})
    kept = record(SERVICE, why)
    assert (kept["kind"], kept["metadata"]["name"], kept["revision"]) == ("ControllerRevision", "tiny-r1", 1)
    assert kept["metadata"]["ownerReferences"][0]["uid"] == "u-1"
    assert kept["metadata"]["labels"] == {"jupyter-kuberay/user": "ada", "jupyter-kuberay/name": "tiny"}
    assert recorded([json.loads(json.dumps(kept))], SERVICE) == [why.model_copy(update={"application": "tiny"})]


def test_the_revision_that_is_asked_for_is_marked_also_when_nobody_recorded_it():
    found = recorded([record(SERVICE, FIRST)], serving(config(SECOND)))
    assert [(each.number, each.current) for each in found] == [(1, False), (2, True)]


def test_a_record_of_an_earlier_service_of_the_same_name_does_not_count():
    assert recorded([record({"metadata": {"name": "tiny", "uid": "u-0"}}, FIRST)], SERVICE) == []


def test_revisions_are_counted_on_also_after_a_rollback():
    third = FIRST.model_copy(update={"number": 3})
    after_rollback = recorded([record(SERVICE, each) for each in (FIRST, SECOND, third)], serving(config(FIRST)))
    assert next_number(after_rollback) == 4


def test_rolling_back_takes_the_one_before_the_current_one_unless_it_is_told_which():
    all_of_them = recorded([record(SERVICE, each) for each in (FIRST, SECOND)], serving(config(SECOND)))
    assert earlier(all_of_them).number == 1
    assert earlier(all_of_them, 2).number == 2
    with pytest.raises(NotFound, match=r"no revision 7.*1, 2"):
        earlier(all_of_them, 7)
    with pytest.raises(NotFound, match="no revision before"):
        earlier(recorded([record(SERVICE, FIRST)], serving(config(FIRST))))
