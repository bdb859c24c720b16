"""What cells print, within what a notebook can hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jupyter_kuberay.batch.places import Place
from jupyter_kuberay.batch.streams import Printed, overwritten


def printing(printed: Printed, pieces: list[tuple[str, str]]) -> list[Any]:
    outputs: list[Any] = []
    for name, text in pieces:
        if piece := printed.add(outputs, name, text):
            outputs.append(piece)
    if last := printed.end():
        outputs.append(last)
    return outputs


def test_pieces_of_one_stream_are_joined_and_streams_stay_in_their_order(tmp_path: Path):
    found = printing(Printed(Place.of(tmp_path / "x.txt")), [("stdout", "a"), ("stdout", "b\n"), ("stderr", "e"), ("stdout", "c")])
    assert [(each["name"], each["text"]) for each in found] == [("stdout", "ab\n"), ("stderr", "e"), ("stdout", "c")]
    assert not (tmp_path / "x.txt").exists()


@pytest.mark.parametrize(
    ("before", "text", "after"),
    [
        ("", "10 %\r20 %\r30 %", "30 %"),
        ("10 %\r", "20 %\r", "20 %\r"),
        ("done\n10 %", "\r20 %", "done\n20 %"),
        ("a\r\n", "b\r\n", "a\r\nb\r\n"),
        ("a\r", "\nb", "a\r\nb"),
        ("x", "y", "xy"),
    ],
)
def test_what_a_progress_bar_overwrote_is_gone(before: str, text: str, after: str):
    assert overwritten(before, text) == after


def test_what_is_too_much_for_a_notebook_is_whole_in_a_file_and_begins_and_ends_in_the_notebook(tmp_path: Path):
    place = Place.of(tmp_path / "out.cell-1.txt")
    lines = [f"line {number}\n" for number in range(1000)]
    found = printing(Printed(place, limit=2000, tail=500), [("stdout", line) for line in lines])
    assert (tmp_path / "out.cell-1.txt").read_text() == "".join(lines)
    kept = "".join(each["text"] for each in found)
    assert kept.startswith("line 0\nline 1\n") and kept.endswith("line 999\n") and len(kept) < 2200
    left = len("".join(lines)) - (len(kept) - len(found[-1]["text"])) - 500
    assert f"… {left:,} characters are left out here; all that this cell printed is in out.cell-1.txt …" in kept


def test_a_full_disk_loses_the_middle_and_says_so(tmp_path: Path):
    full = Place.of("/dev/full")
    found = printing(Printed(full, limit=200, tail=50), [("stdout", "x" * 99 + "\n") for _ in range(2000)])
    assert "are lost: No space left on device" in found[-1]["text"] and found[-1]["text"].endswith("x\n")
