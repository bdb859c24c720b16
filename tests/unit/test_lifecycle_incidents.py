"""The reports that the example notebooks learn from."""

import gzip
from itertools import islice
from pathlib import Path

import pytest

from jupyter_kuberay.lifecycle import incidents
from jupyter_kuberay.lifecycle.evaluation import lead1, mean, rouge

SHIPPED = Path(__file__).parents[2] / "notebooks/data/incidents.jsonl.gz"


@pytest.fixture(scope="module")
def reports() -> list[dict[str, str]]:
    return list(incidents.reports())


def test_the_shipped_file_is_what_the_generator_makes():
    # Of the bytes within: zlib's successors compress the same bytes differently.
    assert gzip.decompress(SHIPPED.read_bytes()) == incidents.to_bytes()


def test_the_shipped_file_is_small():
    assert SHIPPED.stat().st_size < 400_000


def test_writing_it_twice_gives_the_same_bytes(tmp_path: Path):
    one, other = tmp_path / "one.jsonl.gz", tmp_path / "other.jsonl.gz"
    assert incidents.write(one, count=50) == incidents.write(other, count=50)
    assert one.read_bytes() == other.read_bytes()


def test_another_seed_gives_other_reports():
    assert incidents.to_bytes(count=20, seed=1) != incidents.to_bytes(count=20, seed=2)


def test_fewer_reports_are_the_first_of_more():
    assert list(incidents.reports(10)) == list(islice(incidents.reports(20), 10))


def test_no_report_is_there_twice(reports: list[dict[str, str]]):
    assert len({report["document"] for report in reports}) == len(reports) == incidents.COUNT


def test_no_placeholder_is_left_in_a_text(reports: list[dict[str, str]]):
    assert not any(mark in text for report in reports for text in report.values() for mark in "{}")


def test_the_first_sentence_is_a_poor_summary(reports: list[dict[str, str]]):
    scores = [rouge(report["summary"], lead1(report["document"]))["rougeL"] for report in reports[:500]]
    assert 0.1 < mean(scores) < 0.2


def test_the_summary_is_no_sentence_of_the_report(reports: list[dict[str, str]]):
    assert not any(part in report["document"] for report in reports for part in report["summary"].split(". "))


def test_the_service_and_the_place_of_the_summary_are_told_together(reports: list[dict[str, str]]):
    for report in reports[:200]:
        service, place = report["summary"].split(" left ")[1].split(" in ")[0], report["summary"].split(" in ")[1]
        assert service in report["document"]
        assert place.split()[0] in report["document"]


def test_most_reports_name_a_second_service_that_is_not_meant(reports: list[dict[str, str]]):
    from jupyter_kuberay.lifecycle._phrases import SERVICES

    several = [sum(service in report["document"] for service in SERVICES) > 1 for report in reports]
    assert sum(several) > len(reports) / 3
