"""What the Jupyter Server extension does about services, as far as it starts nothing."""

from __future__ import annotations

import asyncio
import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kuberay.errors import Conflict, Failed, InvalidSpec, NotFound
from jupyter_kuberay.faces.server import latencies
from jupyter_kuberay.faces.server.asking import below
from jupyter_kuberay.faces.server.bodies import Publication
from jupyter_kuberay.faces.server.publications import Publications
from jupyter_kuberay.faces.server.sampling import Sampler
from jupyter_kuberay.faces.server.traffic import Rate, replicas
from jupyter_kuberay.faces.server.trained import APP, found, located
from jupyter_kuberay.metering import proxies
from jupyter_kuberay.publishing import Published, Revision
from jupyter_kuberay.rollout import Step

# --- what Ray exports ----------------------------------------------------

# Of Ray 2.58, without most of its labels and bounds.
EXPORTED = """\
# HELP ray_serve_http_request_latency_ms The end-to-end latency of HTTP requests (measured from the Serve HTTP proxy).
# TYPE ray_serve_http_request_latency_ms histogram
ray_serve_http_request_latency_ms_bucket{application="",le="10.0",method="GET",route="/-/healthz",status_code="200"} 57.0
ray_serve_http_request_latency_ms_bucket{application="",le="+Inf",method="GET",route="/-/healthz",status_code="200"} 57.0
ray_serve_http_request_latency_ms_bucket{application="tiny",le="10.0",method="GET",route="/",status_code="200"} 0.0
ray_serve_http_request_latency_ms_bucket{application="tiny",le="20.0",method="GET",route="/",status_code="200"} 3.0
ray_serve_http_request_latency_ms_bucket{application="tiny",le="+Inf",method="GET",route="/",status_code="200"} 5.0
ray_serve_http_request_latency_ms_count{application="tiny",method="GET",route="/",status_code="200"} 5.0
ray_serve_http_request_latency_ms_bucket{application="tiny",le="10.0",method="GET",route="/a\\"}b",status_code="500"} 1.0
ray_serve_http_request_latency_ms_bucket{application="tiny",le="20.0",method="GET",route="/a\\"}b",status_code="500"} 1.0
ray_serve_http_request_latency_ms_bucket{application="tiny",le="+Inf",method="GET",route="/a\\"}b",status_code="500"} 1.0
ray_something_else{le="x"} nonsense
"""


def test_requests_of_all_routes_and_codes_are_counted_and_health_checks_are_not():
    assert latencies.read(EXPORTED) == {10.0: 1.0, 20.0: 4.0, math.inf: 6.0}


def test_where_only_health_was_checked_there_was_no_request_and_where_nothing_is_told_nothing_is_known():
    health = "\n".join(line for line in EXPORTED.splitlines() if 'application="tiny"' not in line)
    assert latencies.requests(latencies.read(health)) == 0
    assert latencies.read("ray_something_else 1\n") is None and latencies.read("") is None


@pytest.mark.parametrize("line", ['_bucket{application="tiny",le="ten"} 1', '_bucket{application="tiny",le="1.0"} many', "_bucket{appl"])
def test_what_is_malformed_is_no_number(line):
    with pytest.raises(ValueError, match=r"\w"):
        latencies.read(f"ray_serve_http_request_latency_ms{line}\n")


@pytest.mark.parametrize(
    ("buckets", "share", "ms"),
    [
        ({10.0: 100.0, math.inf: 100.0}, 0.95, 9.5),
        ({10.0: 0.0, 20.0: 100.0, math.inf: 100.0}, 0.95, 19.5),
        ({10.0: 90.0, 20.0: 90.0, 50.0: 100.0, math.inf: 100.0}, 0.95, 35.0),
        ({10.0: 95.0, 20.0: 100.0, math.inf: 100.0}, 0.95, 10.0),
        ({10.0: 1.0, 20.0: 1.0, math.inf: 100.0}, 0.95, 20.0),  # longer than all bounds: the last one
        ({math.inf: 3.0}, 0.95, 0.0),
        ({10.0: 0.0, math.inf: 0.0}, 0.95, None),
        ({}, 0.95, None),
    ],
)
def test_a_quantile_lies_within_its_bucket(buckets, share, ms):
    assert latencies.quantile(buckets, share) == (None if ms is None else pytest.approx(ms))


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=8), st.floats(0.01, 1))
def test_a_quantile_is_never_beyond_the_bounds_and_grows_with_its_share(counts, share):
    cumulated = [float(sum(counts[: index + 1])) for index in range(len(counts))]
    buckets = {10.0 * (index + 1): count for index, count in enumerate(cumulated)} | {math.inf: cumulated[-1]}
    value, whole = latencies.quantile(buckets, share), latencies.quantile(buckets, 1.0)
    assert (value is None) == (not sum(counts))
    if value is not None:
        assert 0 <= value <= whole <= 10.0 * len(counts)


def counted(count: float) -> dict[float, float]:
    return {10.0: count, math.inf: count}


def test_a_rate_takes_ten_seconds_to_be_known_and_then_covers_twenty():
    rate = Rate()
    assert [rate.add(0, counted(100)), rate.add(5, counted(100))] == [(None, None), (None, None)]
    assert rate.add(10, counted(120)) == (2.0, 9.5)
    assert rate.add(15, counted(120))[0] == 2.0  # Ray tells every ten seconds: this is no pause
    assert rate.add(20, counted(140))[0] == 2.0
    assert rate.add(25, counted(140))[0] == 2.0


def test_when_nobody_asks_the_rate_is_zero_and_no_latency_is_known():
    rate = Rate()
    assert [rate.add(5 * look, counted(7)) for look in range(4)][-1] == (0.0, None)


def test_after_a_restart_or_a_gap_nothing_is_known_for_a_while():
    for broken in (counted(3), None):
        rate = Rate()
        for look in range(4):
            rate.add(5 * look, counted(10 * look))
        assert rate.add(20, broken) == rate.add(25, counted(4)) == (None, None)


# --- what Serve says -----------------------------------------------------


def deployment(running: int, wanted: int, starting: int = 0) -> dict:
    states = [{"state": "RUNNING"}] * running + [{"state": "STARTING"}] * starting
    return {"target_num_replicas": wanted, "replicas": states}


@pytest.mark.parametrize(
    ("application", "told"),
    [
        ({"deployments": {"Tiny": deployment(2, 2)}}, (2, 2)),
        ({"deployments": {"Tiny": deployment(1, 2, starting=1)}}, (1, 2)),
        (  # the one that takes the model, not the ingress before it
            {
                "deployed_app_config": {"deployments": [{"name": "Model", "user_config": {"model": "m"}, "num_replicas": 3}]},
                "deployment_topology": {"ingress_deployment": "Front"},
                "deployments": {"Front": deployment(1, 1), "Model": deployment(2, 3)},
            },
            (2, 3),
        ),
        (
            {"deployment_topology": {"ingress_deployment": "Front"}, "deployments": {"A": deployment(4, 4), "Front": deployment(1, 1)}},
            (1, 1),
        ),
        ({"deployments": {"Tiny": {"deployment_config": {"num_replicas": 2}}}}, (0, 2)),
        ({"deployments": {"Tiny": {"deployment_config": {"num_replicas": "auto"}}}}, None),
        ({"status": "DEPLOYING", "deployments": {}}, None),
        ({}, None),
    ],
)
def test_replicas_are_those_of_the_deployment_that_a_person_gave_a_number_to(application, told):
    assert replicas(application) == told


def test_every_node_that_takes_requests_counts_its_own():
    told = {"head": {"node_ip": "10.0.0.1"}, "worker": {"node_ip": "10.0.0.2"}, "odd": {}}
    assert proxies({"controller_info": {"node_id": "head"}, "proxies": told}) == {"head": "", "worker": "10.0.0.2", "odd": "?"}
    assert proxies({"controller_info": None, "proxies": None}) == proxies({}) == {}


def test_what_nodes_have_counted_is_added_up():
    assert latencies.total([{10.0: 1.0, math.inf: 2.0}, {math.inf: 0.0}, {10.0: 3.0, math.inf: 3.0}]) == {10.0: 4.0, math.inf: 5.0}


# --- what somebody sees --------------------------------------------------


@pytest.mark.asyncio
async def test_only_what_somebody_sees_is_sampled_and_what_cannot_be_is_said_to(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("jupyter_kuberay.faces.server.sampling._AGAIN_S", 0.0)
    open_now: set[str] = set()
    told: asyncio.Queue[tuple[str, int | None]] = asyncio.Queue()

    async def samples(name: str):
        open_now.add(name)
        try:
            yield 1
            if name == "broken":
                raise Failed("It cannot be measured.")
            await asyncio.Event().wait()
        finally:
            open_now.discard(name)

    sampler: Sampler[int] = Sampler(
        samples, lambda name, sample: told.put_nowait((name, sample)), lambda name: told.put_nowait((name, None))
    )
    async with asyncio.timeout(5):
        sampler.see(frozenset({"seen"}))
        assert await told.get() == ("seen", 1)
        sampler.see(frozenset({"seen"}))  # it goes on, and does not begin anew
        sampler.see(frozenset({"broken"}))
        assert [await told.get() for _ in range(3)] == [("broken", 1), ("broken", None), ("broken", 1)] and "seen" not in open_now
        sampler.see(frozenset())
        while open_now:
            await asyncio.sleep(0)


# --- a request to a service ----------------------------------------------


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("", ""),
        ("/", "/"),
        ("summarize", "/summarize"),
        ("/summarize?text=a disk was full", "/summarize?text=a%20disk%20was%20full"),
        ("?name=Ada", "?name=Ada"),
        ("/?text=one%0Atwo&at=..%2F..", "/?text=one%0Atwo&at=..%2F.."),
        ("/a%20b/été", "/a%20b/%C3%A9t%C3%A9"),
        ("/v1/models/m:predict", "/v1/models/m:predict"),
        ("/...", "/..."),
        ("@other.example/", "/@other.example/"),
        ("/?next=http://other.example/", "/?next=http://other.example/"),
    ],
)
def test_a_path_is_asked_below_the_service(path, asked):
    assert below(path) == asked


@pytest.mark.parametrize(
    "path",
    [
        *(
            "http://other.example/",
            "HTTPS://other.example",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "//other.example/",
            "%2f/other.example/",
        ),
        *("\\\\other.example", "/\\other.example", "../api/kernels", "/a/../../b", "/..", "/./a", "/%2e%2e/a", "/.%2E/a", "/a%2f..%2fb"),
        *(
            "/%252e%252e/a",
            "/a\\..\\b",
            "/a%5c..%5cb",
            "/a\nHost: other",
            "/a\r\n\r\nGET / HTTP/1.1",
            "/a%0d%0ab",
            "/a\x00",
            "/a\tb",
            "/?a\nb",
        ),
        *("/a\u2028b", "/a#b"),
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(path):
    with pytest.raises(InvalidSpec, match="path"):
        below(path)


@given(st.text(max_size=40))
def test_whatever_path_is_asked_for_goes_to_the_service(path):
    from urllib.parse import unquote, urlsplit

    try:
        url = urlsplit(f"http://127.0.0.1:8000/route{below(path)}")
    except InvalidSpec:
        return
    assert url.netloc == "127.0.0.1:8000" and url.path.startswith("/route") and not url.fragment
    assert ".." not in unquote(url.path).split("/") and f"{url.path}{url.query}".isprintable() and url.geturl().isascii()


# --- models --------------------------------------------------------------


def ran(folder: Path, passed: bool | None = True, rouge_l: float = 0.9, when: float = 1_750_000_000) -> Path:
    """A run folder as the lifecycle leaves it."""
    (folder / "model").mkdir(parents=True)
    place = f"/somewhere/{folder.name}/model"
    records = {"training": {"base": "t5"}, "evaluation": {"models": {"model": place}, "scores": {"model": {"rougeL": rouge_l}}}}
    if passed is not None:
        records["validation"] = {"model": place, "passed": passed}
    for name, record in records.items():
        path = folder / f"{name}.json"
        path.write_text(json.dumps(record))
        os.utime(path, (when, when))
    return folder


def test_models_come_with_the_newest_validated_first(tmp_path: Path):
    ran(tmp_path / "runs" / "old", when=1_700_000_000)
    ran(tmp_path / "runs" / "failed", passed=False, when=1_900_000_000)
    ran(tmp_path / "project" / "runs" / "new", rouge_l=0.95)
    ran(tmp_path / "unjudged", passed=None, when=1_800_000_000)
    models = found(tmp_path)
    assert [(each.path, each.validated) for each in models] == [
        ("project/runs/new/model", True),
        ("runs/old/model", True),
        ("unjudged/model", None),
        ("runs/failed/model", False),
    ]
    first = models[0]
    assert (first.run, first.title, first.metrics, first.app) == ("project/runs/new", "new", {"rougeL": 0.95}, APP)
    assert first.when == "2025-06-15T15:06:40+00:00" and first.settings == {}


def test_a_run_folder_that_is_the_root_itself_is_found(tmp_path: Path):
    (only,) = found(ran(tmp_path / "run"))
    assert (only.path, only.run, only.title) == ("model", ".", "run")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"passed": "yes"}', '{"models": 3, "scores": {"model": []}}', "[" * 100_000, "\xff"]
)
def test_a_record_that_is_half_written_or_nonsense_is_no_error(tmp_path: Path, text: str):
    run = ran(tmp_path / "runs" / "half")
    for name in ("validation", "evaluation", "training"):
        (run / f"{name}.json").write_text(text, encoding="latin-1")
    (only,) = found(tmp_path)
    assert (only.validated, only.metrics) == (None, {})


def test_a_verdict_on_another_model_or_before_the_last_training_is_none(tmp_path: Path):
    other, older = ran(tmp_path / "runs" / "other"), ran(tmp_path / "runs" / "older")
    (other / "validation.json").write_text(json.dumps({"model": "/models/published", "passed": True}))
    os.utime(older / "training.json", (1_760_000_000, 1_760_000_000))
    assert [each.validated for each in found(tmp_path)] == [None, None]


def test_a_home_folder_is_not_walked_whole(tmp_path: Path):
    ran(tmp_path / "a" / "b" / "c" / "too-deep")
    ran(tmp_path / ".hidden" / "runs" / "one")
    ran(tmp_path / "node_modules" / "run")
    (tmp_path / "no-model").mkdir()
    (tmp_path / "no-model" / "validation.json").write_text("{}")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert found(tmp_path) == [] and found(tmp_path / "nowhere") == []


def test_a_link_does_not_show_a_run_twice(tmp_path: Path):
    ran(tmp_path / "runs" / "one")
    (tmp_path / "again").symlink_to(tmp_path)
    (tmp_path / "also").symlink_to(tmp_path / "runs")
    assert [each.title for each in found(tmp_path)] == ["one"]


def test_runs_are_found_beside_more_folders_than_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("jupyter_kuberay.faces.server.trained._MOST_ENTRIES", 60)
    for number in range(20):
        for inner in range(20):
            (tmp_path / f"folder-{number}" / f"inner-{inner}").mkdir(parents=True)
    ran(tmp_path / "runs" / "mine")
    assert [each.title for each in found(tmp_path)] == ["mine"]


def test_paths_are_those_of_the_file_browser_and_other_names_stay(tmp_path: Path):
    (tmp_path / "apps").mkdir()
    (tmp_path / "apps" / "tiny.py").write_text("app = 1\n")
    ran(tmp_path / "runs" / "one")
    assert located(tmp_path, "apps/tiny.py:app", "runs/one/model") == (f"{tmp_path}/apps/tiny.py:app", f"{tmp_path}/runs/one/model")
    assert located(tmp_path, f"{tmp_path}/apps/tiny.py:app", "") == (f"{tmp_path}/apps/tiny.py:app", "")
    assert located(tmp_path, "package.module:app", "google/t5-small") == ("package.module:app", "google/t5-small")
    assert located(tmp_path, "package.module:app", "s3://bucket/model") == ("package.module:app", "s3://bucket/model")
    for missing in ("apps/none.py:app", "x\0.py:app", f"{'x' * 300}.py:app"):
        with pytest.raises(InvalidSpec, match="There is no file"):
            located(tmp_path, missing, "")


# --- publications --------------------------------------------------------

REVISION = Revision(number=3, app="tiny:app")
PUBLISHED = Published("tiny", "http://127.0.0.1:1", REVISION, "curl 'http://127.0.0.1:1/'", ())


class Told(list[Publication]):
    @property
    def states(self) -> list[tuple[str, int]]:
        return [(each.state, len(each.steps)) for each in self]


async def ended(publications: Publications, name: str = "tiny") -> Publication:
    async with asyncio.timeout(5):
        while (publication := next(each for each in publications.all() if each.name == name)).state == "running":
            await asyncio.sleep(0)
    return publication


@pytest.mark.asyncio
async def test_a_publication_is_told_from_its_acceptance_to_its_end():
    told, goes_on = Told(), asyncio.Event()
    publications = Publications(told.append)

    async def work(progress):
        progress(Step("code", "tiny:app: 1 files.", 0.1))
        progress(Step("try-out", "Revision 3 is tried out.", 0.2))
        await goes_on.wait()
        progress(Step("ready", "It answers.", 0.3))
        return PUBLISHED

    begun = await publications.begin("tiny", "publish", work)
    assert (begun.state, begun.verb, [step.phase for step in begun.steps]) == ("running", "publish", ["code", "try-out"])
    goes_on.set()
    done = await ended(publications)
    assert (done.state, done.revision, done.url, done.call) == ("done", 3, PUBLISHED.url, PUBLISHED.call)
    assert told.states == [("running", 2), ("running", 3), ("done", 3)]


@pytest.mark.asyncio
async def test_what_fails_at_once_is_refused_and_nothing_is_told_of_it():
    told = Told()
    publications = Publications(told.append)

    async def fails(progress):
        progress(Step("code", "tiny:app: 1 files.", 0.1))
        raise Conflict("Somebody else was first.", "Look.")

    with pytest.raises(Conflict, match="was first"):
        await publications.begin("tiny", "publish", fails)
    assert (told, publications.all()) == ([], ())


@pytest.mark.asyncio
async def test_a_refused_one_leaves_word_of_the_one_before():
    publications = Publications(lambda each: None)

    async def works(progress):
        return PUBLISHED

    async def fails(progress):
        raise NotFound("No.", "Look.")

    await publications.begin("tiny", "publish", works)
    with pytest.raises(NotFound):
        await publications.begin("tiny", "rollback", fails)
    assert (await ended(publications)).state == "done"


@pytest.mark.asyncio
async def test_what_fails_later_is_told_with_its_reason():
    goes_on, publications = asyncio.Event(), Publications(lambda each: None)

    async def work(progress):
        progress(Step("cluster", "Asked for.", 0.1))
        await goes_on.wait()
        raise Failed("The application does not start: No module named 'x'.", "Mend it.")

    await publications.begin("tiny", "publish", work)
    goes_on.set()
    problem = (await ended(publications)).problem
    assert problem is not None and (problem.kind, problem.hint) == ("Failed", "Mend it.")


@pytest.mark.asyncio
async def test_one_of_a_name_at_a_time_and_a_cancelled_one_is_undone_before_that_is_said():
    undone, publications = [], Publications(lambda each: None)

    async def work(progress):
        progress(Step("cluster", "Asked for.", 0.1))
        try:
            await asyncio.Event().wait()
        finally:
            progress(Step("undone", "It is removed.", 0.2))
            undone.append(True)

    await publications.begin("tiny", "publish", work)
    with pytest.raises(Conflict, match="just being published"):
        await publications.begin("tiny", "publish", work)
    await publications.begin("other", "publish", work)
    await publications.cancel("tiny")
    assert undone == [True]
    cancelled = await ended(publications)
    assert cancelled.state == "cancelled" and cancelled.steps[-1].phase == "undone"
    with pytest.raises(NotFound):
        await publications.cancel("tiny")
    await publications.close()
    assert undone == [True, True]


@pytest.mark.asyncio
async def test_an_ended_one_is_forgotten_after_a_while(monkeypatch: pytest.MonkeyPatch):
    publications = Publications(lambda each: None)

    async def work(progress):
        return PUBLISHED

    await publications.begin("tiny", "publish", work)
    await ended(publications)
    monkeypatch.setattr("jupyter_kuberay.faces.server.publications.KEPT_S", -1.0)
    assert publications.all() == ()
