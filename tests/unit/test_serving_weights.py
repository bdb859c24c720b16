"""Weights beside the old ones, kept for going back, and refused where there is no memory for both."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from jupyter_kuberay.serving.settings import Settings
from jupyter_kuberay.serving.weights import Files, Kept, Unusable, files_at, free_bytes


class Loads:
    """Counts what is loaded."""

    def __init__(self, free: int | None = None) -> None:
        self.loaded: list[str] = []
        self.free = free
        self.kept = Kept(self.load, lambda settings: (settings.threads,), lambda: self.free)

    def load(self, settings: Settings) -> Any:
        self.loaded.append(settings.model)
        return object()

    def put(self, model: str, revision: int, **more: Any) -> Any:
        loaded = self.kept.take(Settings(model=model, revision=revision, **more))
        self.kept.put(loaded)
        return loaded.model


def weights(folder: Path, size: int) -> str:
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"x" * size)
    return str(folder)


def test_going_back_loads_nothing_while_the_weights_are_kept():
    loads = Loads()
    first = loads.put("a", 1)
    loads.put("b", 2)
    assert loads.put("a", 1) is first
    assert loads.loaded == ["a", "b"]


def test_what_was_loaded_before_is_only_put_in_its_place_and_answers_nobody_until_then():
    loads = Loads()
    first = loads.put("a", 1)
    loads.kept.hold(loads.kept.take(Settings(model="b", revision=2)))
    assert loads.kept.now.model is first
    held = loads.put("b", 2)
    assert loads.kept.now.model is held is not first
    assert loads.loaded == ["a", "b"]
    loads.kept.hold(loads.kept.take(Settings(model="a", revision=1)))  # which is kept
    assert loads.put("a", 1) is first
    assert len(loads.kept) == 2


def test_as_many_are_kept_as_the_settings_say():
    loads = Loads()
    for number, model in enumerate("abc"):
        loads.put(model, number, keep_models=1)
    assert len(loads.kept) == 2
    loads.put("b", 1, keep_models=1)
    assert loads.loaded == ["a", "b", "c"]
    loads.put("a", 0, keep_models=0)
    assert loads.loaded == ["a", "b", "c", "a"] and len(loads.kept) == 1


def test_a_new_revision_of_the_same_files_is_not_loaded_again_and_one_of_changed_files_is(tmp_path: Path):
    loads, model = Loads(), weights(tmp_path / "m", 10)
    loads.put(model, 1)
    loads.put(model, 2, max_batch_size=3)
    assert len(loads.loaded) == 1
    os.utime(tmp_path / "m" / "model.safetensors", (1, 1))
    loads.put(model, 3)
    assert len(loads.loaded) == 2


def test_the_earlier_revision_is_what_it_was_though_its_files_were_written_over(tmp_path: Path):
    loads, model = Loads(), weights(tmp_path / "m", 10)
    first = loads.put(model, 1)
    (tmp_path / "m" / "model.safetensors").write_bytes(b"y" * 11)
    assert loads.put(model, 2) is not first
    assert loads.put(model, 1) is first


def test_another_option_is_another_model():
    loads = Loads()
    loads.put("a", 1)
    loads.put("a", 1, threads=2)
    assert loads.loaded == ["a", "a"]


def test_where_there_is_no_memory_for_both_it_is_said_and_the_old_ones_stay(tmp_path: Path):
    loads = Loads(free=3 * 2**20)
    old = loads.put(weights(tmp_path / "old", 10), 1)
    with pytest.raises(Unusable, match=r"new take some 5 MiB beside .* 3 MiB are free.*more memory"):
        loads.put(weights(tmp_path / "new", 4 * 2**20), 2)
    assert loads.kept.now is not None and loads.kept.now.model is old


def test_kept_weights_go_before_new_ones_are_refused(tmp_path: Path):
    loads = Loads(free=2**30)
    loads.put(weights(tmp_path / "a", 2**20), 1)
    loads.put(weights(tmp_path / "b", 2**20), 2)

    def freed() -> int:
        return 2**30 if len(loads.kept) == 1 else 2**20

    loads.kept._free = freed
    loads.put(weights(tmp_path / "c", 4 * 2**20), 3)
    assert len(loads.loaded) == 3


def test_what_is_kept_leaves_memory_for_those_who_ask_and_says_so(tmp_path: Path, said: pytest.LogCaptureFixture):
    loads = Loads(free=3 * 2**20)
    loads.put(weights(tmp_path / "a", 4 * 2**20), 1)
    loads.put(weights(tmp_path / "b", 2**20), 2)
    assert len(loads.kept) == 1 and "going back will load them again" in said.text


def test_only_what_is_loaded_is_counted_of_what_lies_there(tmp_path: Path):
    folder = Path(weights(tmp_path / "m", 100))
    (folder / "pytorch_model.bin").write_bytes(b"x" * 100)
    weights(folder / "checkpoint-1", 100)
    assert files_at(str(folder)).size == files_at(f"file://{folder}").size == 100
    assert files_at("a-name/on-a-hub") == files_at("nosuch://place") == Files()


def test_this_machine_has_some_memory_left():
    found = free_bytes()
    assert found is not None and 0 < found < 2**50
