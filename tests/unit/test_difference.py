"""What two revisions differ in."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kuberay import difference as module
from jupyter_kuberay.difference import Change, MetricChange, difference
from jupyter_kuberay.revision import Revision, digest, inline, zipped
from jupyter_kuberay.scaling import Scaling


def revision(number, files=None, **fields):
    content = zipped(files or {"app.py": b"app = 1\n"})
    return Revision(number=number, app="app:app", code=inline(content), sha256=digest(content), **fields)


def test_files_are_added_removed_or_changed_and_the_lines_are_a_diff_that_patch_takes():
    before = revision(1, {"app.py": b"a = 1\nb = 2\n", "old.py": b"gone\n", "same.py": b"1\n"})
    after = revision(2, {"app.py": b"a = 1\nb = 3", "new/x.py": b"here\n", "same.py": b"1\n"})
    found = difference(before, after)
    assert [(each.path, each.change) for each in found.files] == [("app.py", "changed"), ("new/x.py", "added"), ("old.py", "removed")]
    assert found.files[0].text == "--- a/app.py\n+++ b/app.py\n@@ -1,2 +1,2 @@\n a = 1\n-b = 2\n+b = 3\n\\ No newline at end of file\n"
    assert found.files[1].text == "--- /dev/null\n+++ b/new/x.py\n@@ -0,0 +1 @@\n+here\n"
    assert found.files[2].text.startswith("--- a/old.py\n+++ /dev/null\n")
    assert not found.same_code


def test_settings_are_compared_by_key_and_one_is_not_true():
    found = difference(revision(1, settings={"a": 1, "b": [1], "d": None}), revision(2, settings={"a": True, "b": [1], "c": "x"}))
    assert found.settings == (Change(key="a", before=1, after=True), Change(key="d"), Change(key="c", after="x"))
    assert found.same_code and found.files == ()


def test_metrics_are_told_with_how_much_they_moved():
    found = difference(
        revision(1, metrics={"rougeL": 0.5, "old": 1, "same": 2}), revision(2, metrics={"rougeL": 0.75, "new": 3, "same": 2})
    )
    assert found.metrics == (
        MetricChange(key="rougeL", before=0.5, after=0.75, difference=0.25),
        MetricChange(key="old", before=1),
        MetricChange(key="new", after=3),
    )


def test_model_version_and_replicas_are_told():
    found = difference(
        revision(1, model="s3://1", scaling=Scaling(replicas=2)),
        revision(2, model="s3://2", model_version="models:/tiny/3", scaling=Scaling(min_replicas=0, max_replicas=4)),
    )
    assert {each.key: (each.before, each.after) for each in found.facts} == {
        "model": ("s3://1", "s3://2"),
        "model_version": (None, "models:/tiny/3"),
    }
    assert {each.key: (each.before, each.after) for each in found.scaling} == {
        "replicas": (2, None),
        "min_replicas": (None, 0),
        "max_replicas": (None, 4),
    }


def test_code_that_lies_elsewhere_is_compared_by_its_digest_alone():
    away = Revision(number=2, app="app:app", code="s3://code/x.zip", sha256="b" * 64)
    found = difference(revision(1), away)
    assert (found.same_code, found.files) == (False, ()) and "s3://code/x.zip" in found.code_note
    assert difference(away, away.model_copy(update={"code": "gs://copy.zip"})).same_code
    assert "in the image" in difference(revision(1), Revision(number=2, app="app:app")).code_note


@pytest.mark.parametrize("code", ["!", base64.b64encode(b"no zip").decode()])
def test_code_that_cannot_be_read_is_said_to_be_so(code):
    assert "code of revision 2 cannot be read" in difference(revision(1), Revision(number=2, app="a:b", code=code, sha256="c")).code_note


def test_of_a_file_that_is_no_text_and_of_too_many_lines_only_the_names_are_told(monkeypatch):
    found = difference(revision(1, {"a.bin": b"\xff\x00"}), revision(2, {"a.bin": b"\xff\x01", "b.txt": b"nul\0"}))
    assert [(each.path, each.change, each.text) for each in found.files] == [("a.bin", "changed", ""), ("b.txt", "added", "")]
    monkeypatch.setattr(module, "LONGEST_TEXT", 10)
    long = difference(revision(1), revision(2, {"app.py": b"app = 2\n" * 10}))
    assert [(each.path, each.text) for each in long.files] == [("app.py", "")] and "too many lines" in long.code_note


@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers() | st.text()), st.dictionaries(st.sampled_from("abcd"), st.integers() | st.text())
)
def test_a_revision_differs_from_itself_in_nothing_and_both_ways_tell_the_same_keys(one, other):
    first, second = revision(1, settings=one), revision(2, settings=other)
    assert difference(first, first).is_empty
    there, back = difference(first, second), difference(second, first)
    assert {each.key for each in there.settings} == {each.key for each in back.settings}
    assert there.is_empty == (one == other)
