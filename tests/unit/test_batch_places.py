"""Paths and URLs, and what can be wrong with them."""

from __future__ import annotations

import os
from pathlib import Path

import fsspec
import pytest

from jupyter_kuberay.batch.places import Place, Unwritable
from jupyter_kuberay.errors import InvalidSpec, KubeRayError, NotFound


def test_a_path_is_absolute_and_a_url_stays_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    assert Place.of("a.ipynb").path == tmp_path / "a.ipynb"
    assert Place.of("file:///x/a.ipynb").path == Path("/x/a.ipynb")
    assert Place.of("~/a.ipynb").path == Path.home() / "a.ipynb"
    assert Place.of("s3://b/a.ipynb").path is None
    assert Place.of("s3://b/x/a.b.ipynb").beside(".run.json").url == "s3://b/x/a.b.run.json"
    assert (Place.of("s3://b/x/a.ipynb").stem, Place.of("s3://b/x/").child("y").url) == ("a", "s3://b/x/y")


@pytest.mark.parametrize("folder", ["{tmp}", "memory://test-places"])
def test_what_is_written_is_read_found_and_removed(folder: str, tmp_path: Path):
    place = Place.of(folder.format(tmp=tmp_path)).child("deep").child("a.run.json")
    assert not place.exists()
    with pytest.raises(NotFound):
        place.read()
    place.write(b"one")
    place.write(b"two")
    assert place.read() == b"two" and place.exists()
    (tmp_path / "file").write_bytes(b"three")
    other = Place.of(folder.format(tmp=tmp_path)).child("b.txt")
    other.put(tmp_path / "file")
    assert other.read() == b"three"
    assert [each.name for each in Place.of(folder.format(tmp=tmp_path)).below(".run.json")] == ["a.run.json"]
    place.remove()
    place.remove()
    assert not place.exists()


def test_a_new_file_has_the_rights_that_new_files_have(tmp_path: Path):
    before = os.umask(0o027)
    try:
        Place.of(tmp_path / "a").write(b"")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_what_cannot_be_written_is_said_in_a_sentence(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Unwritable, match=r"cannot be written: .*\. Name another place"):
        Place.of(tmp_path / "file" / "a").write(b"")
    with pytest.raises(InvalidSpec, match="no address that can be read here"):
        Place.of("nothing://x/y").read()


def test_whatever_a_stores_library_raises_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch):
    def broken(*_: object, **__: object) -> None:
        raise ConnectionError("away\nand more")

    monkeypatch.setattr(fsspec.filesystem("memory"), "pipe_file", broken, raising=False)
    with pytest.raises(KubeRayError) as refused:
        Place.of("memory://x/y").write(b"")
    assert refused.value.message == "'memory://x/y' cannot be written: away."
