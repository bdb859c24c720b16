"""Publishing, trying and rolling back by the Jupyter Server extension: one service for all tests, and some that do not come to be."""

from __future__ import annotations

import asyncio
import getpass
import json
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from jupyter_kuberay.errors import NotFound, TimedOut
from jupyter_kuberay.faces.server import asking
from jupyter_kuberay.faces.server.asking import ask
from jupyter_kuberay.faces.server.bodies import Question
from jupyter_kuberay.manifest import service_bundle
from jupyter_kuberay.observation import Kind
from jupyter_kuberay.spec import Application, ClusterSpec, Code, SecretKey, ServiceSpec

from .conftest import CommandLine
from .serving import Events, Server, serving

pytestmark = pytest.mark.timeout(400)

NAME = "tiny"
PUBLISHED_S = 300  # a machine that others use, too
APP = """
    import asyncio

    from ray import serve
    from starlette.responses import PlainTextResponse, RedirectResponse

    EXAMPLE = "/?name=Ada"

    @serve.deployment(ray_actor_options={"num_cpus": 0.1})
    class Tiny:
        def reconfigure(self, user_config):
            self.config = user_config

        async def __call__(self, request):
            path = request.url.path
            if path == "/away":
                return RedirectResponse("http://127.0.0.1:9/elsewhere")
            if path == "/large":
                return PlainTextResponse("é" * 70_000)
            if path == "/slow":
                await asyncio.sleep(30)
            if path == "/html":
                return PlainTextResponse("<img src=x onerror=alert(1)>", media_type="text/html", status_code=418)
            asked = {"method": request.method, "path": path, "query": dict(request.query_params), "headers": dict(request.headers)}
            return {**self.config, **asked, "body": (await request.body()).decode()}

    app = Tiny.bind()
"""
BROKEN = "import nonexistent_thing\n\napp = nonexistent_thing.app\n"

Change = dict[str, Any]


@pytest.fixture(scope="module")
def server(kuberay: CommandLine) -> Iterator[Server]:
    apps = kuberay.home / "services" / "apps"
    apps.mkdir(parents=True)
    (apps / "tiny.py").write_text(textwrap.dedent(APP))
    (apps / "broken.py").write_text(BROKEN)
    with serving(kuberay, name="services") as running:
        yield running


def is_publication(name: str, *states: str) -> Callable[[Change], bool]:
    return lambda change: change["type"] == "publication" and change["name"] == name and change["publication"]["state"] in states


async def until_over(events: Events, name: str) -> dict[str, Any]:
    """The end of a publication."""
    told = await events.until(is_publication(name, "done", "failed", "cancelled"), PUBLISHED_S)
    return dict(told["publication"])


async def published(server: Server, **asked: Any) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
    """What was answered at once, what was told, and the end."""
    async with server.events() as events:
        begun = await asyncio.to_thread(lambda: server.client.post("/services", json=asked))
        assert begun.status_code == 202, begun.text
        over = await until_over(events, asked["name"])
        changes = [change for event in events.heard for change in event["changes"]]
    return begun.json(), [change["publication"] for change in changes if change["type"] == "publication"], over


@pytest.fixture(scope="module")
def first(server: Server) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]]:
    yield asyncio.run(published(server, name=NAME, app="apps/tiny.py:app", model="m1", replicas=1, why="a start", metrics={"rougeL": 0.9}))
    server.client.delete(f"/services/{NAME}")
    until_gone(server, NAME)


@pytest.fixture
def tiny(server: Server, first: object) -> Callable[..., httpx.Response]:
    """Asks the service by the Try box's way."""
    return lambda **question: server.client.post(f"/services/{NAME}/try", json=question)


def until_gone(server: Server, name: str) -> None:
    deadline = time.monotonic() + 60
    while server.client.get(f"/services/{name}").status_code != 404:
        assert time.monotonic() < deadline, f"{name} is not gone"
        time.sleep(0.1)


# --- publishing ----------------------------------------------------------


def test_publishing_is_answered_at_once_and_each_step_is_told(first: tuple[Any, Any, Any]) -> None:
    begun, told, over = first
    assert (begun["name"], begun["verb"], begun["state"], begun["problem"]) == (NAME, "publish", "running", None)
    assert (over["state"], over["revision"], over["problem"]) == ("done", 1, None)
    assert [step["phase"] for step in over["steps"]][:2] == ["code", "cluster"] and over["steps"][-1]["message"] == "It answers."
    assert over["call"] == f"curl '{over['url']}/?name=Ada'"
    lengths = [len(one["steps"]) for one in told]
    assert lengths == sorted(lengths) and len(set(lengths)) > 2 and over == told[-1]


def test_a_page_that_comes_later_is_told_of_it_too(server: Server, first: tuple[Any, Any, Any]) -> None:
    snapshot = server.client.put("/views/late", json={}).json()
    assert first[2]["name"] in [one["name"] for one in snapshot["publications"]]
    server.client.delete("/views/late")


@pytest.mark.asyncio
async def test_a_new_revision_is_tried_out_put_in_and_taken_back(server: Server, tiny: Callable[..., httpx.Response]) -> None:
    began = json.loads(tiny().json()["text"])["revision"]
    _, _, over = await published(server, name=NAME, app="apps/tiny.py:app", model="m2", why="better")
    assert (over["state"], [step["phase"] for step in over["steps"]][1]) == ("done", "try-out")
    now = json.loads(tiny().json()["text"])
    assert (now["model"], now["revision"]) == ("m2", over["revision"]) and now["revision"] > began
    async with server.events() as events:
        begun = await asyncio.to_thread(lambda: server.client.post(f"/services/{NAME}/rollback", json={"why": "worse"}))
        assert (begun.status_code, begun.json()["verb"]) == (202, "rollback")
        back = await until_over(events, NAME)
    assert (back["state"], back["revision"]) == ("done", began) and back["call"].endswith("/?name=Ada'")
    assert json.loads(tiny().json()["text"])["model"] == "m1"
    revisions = server.client.get(f"/services/{NAME}/revisions").json()
    kept = {one["number"]: one for one in revisions}
    assert kept[over["revision"]]["why"] == "better"
    (again,) = kept[began]["again"]
    assert (again["why"], again["who"], again["instead_of"]) == ("worse", getpass.getuser(), over["revision"])
    asked = {"before": began, "after": over["revision"]}
    found = server.client.get(f"/services/{NAME}/diff", params=asked).json()
    assert found["same_code"] and found["facts"] == [{"key": "model", "before": "m1", "after": "m2"}]
    assert server.client.get(f"/services/{NAME}/diff", params={"before": 4711}).status_code == 404
    assert server.client.get(f"/services/{NAME}/revisions", params={"application": "other"}).status_code == 404


@pytest.mark.asyncio
async def test_an_application_that_cannot_be_imported_is_told_with_its_error_and_nothing_is_left(server: Server) -> None:
    _, _, over = await published(server, name="broken", app="apps/broken.py:app")
    assert over["state"] == "failed" and over["steps"][-1]["phase"] == "undone"
    assert "No module named 'nonexistent_thing' (broken.py, line 1)" in over["problem"]["message"]
    assert (over["problem"]["kind"], over["revision"], over["url"]) == ("Failed", None, "") and over["problem"]["hint"]
    until_gone(server, "broken")


@pytest.mark.asyncio
async def test_a_new_revision_that_cannot_be_imported_leaves_the_one_that_answers(
    server: Server, tiny: Callable[..., httpx.Response]
) -> None:
    before = json.loads(tiny().json()["text"])["revision"]
    _, _, over = await published(server, name=NAME, app="apps/broken.py:app")
    assert over["state"] == "failed" and "nonexistent_thing" in over["problem"]["message"]
    assert json.loads(tiny().json()["text"])["revision"] == before


@pytest.mark.asyncio
async def test_a_publication_that_is_cancelled_is_undone_and_only_one_of_a_name_runs(server: Server) -> None:
    asked = {"name": "halfway", "app": "apps/tiny.py:app", "model": "m1"}
    async with server.events() as events:
        await asyncio.to_thread(lambda: server.client.post("/services", json=asked))
        await events.until(is_publication("halfway", "running"))
        again = await asyncio.to_thread(lambda: server.client.post("/services", json=asked))
        assert (again.status_code, again.json()["kind"]) == (409, "Conflict") and again.json()["hint"]
        cancelled = await asyncio.to_thread(lambda: server.client.delete("/services/halfway/publication"))
        assert cancelled.status_code == 204, cancelled.text
        over = await until_over(events, "halfway")
    assert over["state"] == "cancelled" and over["steps"][-1]["phase"] == "undone"
    until_gone(server, "halfway")
    nothing = server.client.delete("/services/halfway/publication")
    assert (nothing.status_code, nothing.json()["kind"]) == (404, "NotFound")


def test_a_server_that_ends_undoes_what_it_was_publishing(kuberay: CommandLine, server: Server) -> None:
    with serving(kuberay, name="ends") as ends:
        asked = {"name": "orphan", "app": str(kuberay.home / "services" / "apps" / "tiny.py") + ":app"}
        assert ends.client.post("/services", json=asked).json()["state"] == "running"
        assert server.client.get("/services/orphan").status_code == 200
    until_gone(server, "orphan")


@pytest.mark.parametrize(
    ("asked", "status", "kind"),
    [
        ({"name": "new", "app": "apps/none.py:app"}, 422, "InvalidSpec"),
        ({"name": "new", "app": "no_such_module:app"}, 422, "InvalidSpec"),
        ({"name": "new", "app": "apps/tiny.py:nothing"}, 422, "InvalidSpec"),
        ({"name": "new", "app": "apps/tiny.py"}, 422, "InvalidSpec"),
        ({"name": "new", "app": "apps/tiny.py:app", "profile": "none-such"}, 404, "NotFound"),
        ({"name": "new", "app": "apps/tiny.py:app", "workers": 99}, 422, "LimitExceeded"),
        ({"name": "new", "app": "apps/tiny.py:app", "settings": {"model": "x"}}, 422, "InvalidSpec"),
        ({"name": "new", "app": "apps/tiny.py:app", "replicas": -1}, 422, "InvalidSpec"),
        ({"name": "new", "app": "apps/tiny.py:app", "metrics": {"rougeL": "high"}}, 422, "InvalidSpec"),
        ({"name": "new", "app": "apps/tiny.py:app", "bearer": {"secret": "s"}}, 422, "InvalidSpec"),
        ({"name": "../new", "app": "apps/tiny.py:app"}, 422, "InvalidSpec"),
        ({"name": "<img src=x onerror=alert(1)>", "app": "apps/tiny.py:app"}, 422, "InvalidSpec"),
        ({"name": "x" * 48, "app": "apps/tiny.py:app"}, 422, "InvalidSpec"),
    ],
)
def test_what_cannot_be_is_refused_at_once_and_is_no_publication(server: Server, asked: Change, status: int, kind: str) -> None:
    refused = server.client.post("/services", json=asked)
    assert (refused.status_code, refused.json()["kind"]) == (status, kind), refused.text
    assert refused.json()["hint"] and refused.headers["content-type"].startswith("application/json")
    snapshot = server.client.put("/views/refused", json={}).json()
    assert not {"new", asked["name"]} & {one["name"] for one in (*snapshot["publications"], *snapshot["services"])}


def test_no_earlier_revision_is_refused_at_once(server: Server, first: object) -> None:
    refused = server.client.post(f"/services/{NAME}/rollback", json={"to": 4711})
    assert (refused.status_code, refused.json()["kind"]) == (404, "NotFound")
    assert server.client.post("/services/nobodys/rollback", json={}).status_code == 404


# --- trying --------------------------------------------------------------


def test_a_request_is_sent_and_its_answer_shown(tiny: Callable[..., httpx.Response]) -> None:
    reply = tiny(path="/?name=Ada").json()
    assert (reply["status"], reply["reason"], reply["truncated"]) == (200, "OK", False) and reply["seconds"] > 0
    assert reply["content_type"].startswith("application/json") and json.loads(reply["text"])["query"] == {"name": "Ada"}
    posted = tiny(method="POST", path="summaries", body='{"text": "é"}').json()
    told = json.loads(posted["text"])
    assert (told["method"], told["path"], told["body"]) == ("POST", "/summaries", '{"text": "é"}')
    assert told["headers"]["content-type"] == "application/json"


def test_nothing_of_the_jupyter_servers_goes_along(tiny: Callable[..., httpx.Response]) -> None:
    headers = json.loads(tiny().json()["text"])["headers"]
    assert not {"cookie", "authorization", "x-xsrftoken", "referer", "origin"} & set(headers)


def test_an_answer_with_html_is_text_and_one_that_redirects_is_not_followed(tiny: Callable[..., httpx.Response]) -> None:
    answer = tiny(path="/html")
    assert answer.headers["content-type"].startswith("application/json")
    assert (answer.json()["status"], answer.json()["text"]) == (418, "<img src=x onerror=alert(1)>")
    assert tiny(path="/away").json()["status"] == 307


def test_of_a_large_answer_the_beginning_is_shown(tiny: Callable[..., httpx.Response]) -> None:
    reply = tiny(path="/large").json()
    assert reply["truncated"] and reply["text"] == "é" * 32 * 1024


@pytest.mark.parametrize("path", ["http://127.0.0.1:1/", "//127.0.0.1:1/", "/../../etc/passwd", "/%2e%2e/x", "/a\r\nHost: other", "/#x"])
def test_a_path_that_leads_elsewhere_is_refused(tiny: Callable[..., httpx.Response], path: str) -> None:
    refused = tiny(path=path)
    assert (refused.status_code, refused.json()["kind"]) == (422, "InvalidSpec")


@pytest.mark.parametrize("question", [{"method": "CONNECT"}, {"method": "get"}, {"content_type": "a\r\nX: y"}, {"host": "other"}])
def test_a_question_that_is_none_is_refused(tiny: Callable[..., httpx.Response], question: Change) -> None:
    assert tiny(**question).status_code == 422


@pytest.mark.asyncio
async def test_a_service_that_takes_too_long_is_said_to(kuberay: CommandLine, first: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "TIMEOUT_S", 1.0)
    with pytest.raises(TimedOut, match="has not answered within 1 s"):
        await ask(kuberay.backend, NAME, Question(path="/slow"))
    with pytest.raises(NotFound):
        await ask(kuberay.backend, "nobodys", Question())


# --- what is told of a service that somebody sees --------------------------


@contextmanager
def being_asked(url: str) -> Iterator[None]:
    """A service that somebody asks all the time."""
    stop = threading.Event()

    def requests() -> None:
        with httpx.Client() as client:
            while not stop.wait(0.1):
                client.get(url)

    thread = threading.Thread(target=requests)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.asyncio
async def test_replicas_and_requests_of_a_service_that_somebody_sees_are_told(server: Server, first: tuple[Any, Any, Any]) -> None:
    over = first[2]
    async with server.events() as events:
        with being_asked(over["url"]):
            cluster = (await asyncio.to_thread(lambda: server.client.get(f"/services/{NAME}"))).json()["cluster"]
            seen = {"services": [NAME, "nobodys"], "clusters": [cluster]}
            await asyncio.to_thread(lambda: server.client.put("/views/sees", json=seen))
            told = await events.until(lambda change: change["type"] == "traffic" and change["name"] == NAME)
            traffic = told["traffic"]
            assert (traffic["url"], traffic["call"]) == (over["url"], over["call"])
            assert (traffic["replicas"], traffic["replicas_wanted"], traffic["requests_per_s"]) == (1, 1, None)
            told = await events.until(lambda change: change["type"] == "traffic" and change["traffic"]["p95_ms"] is not None, 60)
            assert 0 < told["traffic"]["requests_per_s"] <= 20 and 0 < told["traffic"]["p95_ms"] < 10_000
        await events.until(lambda change: change["type"] == "traffic" and change["traffic"]["requests_per_s"] == 0, 60)
        assert not [change for event in events.heard for change in event["changes"] if change["type"] == "usage"], "it belongs to a service"
    snapshot = server.client.put("/views/sees", json={"services": [NAME]}).json()
    assert snapshot["traffic"][NAME]["p95_ms"] is None and set(snapshot["traffic"]) == {NAME}
    server.client.delete("/views/sees")


def test_another_users_service_is_not_theirs_to_touch(kuberay: CommandLine, first: object) -> None:
    bob = CommandLine(kuberay.home)
    bob.environment = {**bob.environment, "JUPYTERHUB_USER": "bob"}
    with serving(bob, name="bob-services") as bobs:
        app = str(kuberay.home / "services" / "apps" / "tiny.py") + ":app"
        refused = bobs.client.post("/services", json={"name": NAME, "app": app, "model": "bobs"})
        assert (refused.status_code, refused.json()["kind"]) == (409, "Conflict") and "somebody else's" in refused.json()["message"]
        for method, rest in (("post", "/rollback"), ("post", "/try"), ("delete", "/publication"), ("get", "/revisions"), ("delete", "")):
            answer = bobs.client.request(method, f"/services/{NAME}{rest}", json={} if method == "post" else None)
            assert (answer.status_code, answer.json()["kind"]) == (404, "NotFound")
        snapshot = bobs.client.put("/views/bobs", json={"services": [NAME]}).json()
        assert NAME not in json.dumps([snapshot["services"], snapshot["traffic"], snapshot["publications"]])
    assert asyncio.run(kuberay.backend.get(Kind.SERVICE, NAME)).name == NAME


def test_a_service_that_wants_a_token_is_not_asked_without_one(kuberay: CommandLine, server: Server) -> None:
    cluster = ClusterSpec(name="guarded", user=getpass.getuser(), profile="cpu-small")
    application = Application(name="guarded", import_path="tiny:app", code=Code(source="UEs=", sha256="0" * 64))
    spec = ServiceSpec(name="guarded", cluster=cluster, applications=(application,), bearer=SecretKey(secret="callers", key="token"))
    store = kuberay.backend.store
    store.create(service_bundle(spec).resource)
    try:
        answer = server.client.post("/services/guarded/try", json={})
        assert (answer.status_code, answer.json()["kind"]) == (403, "Forbidden")
        assert "show a token" in answer.json()["message"] and "has the token" in answer.json()["hint"]
    finally:
        store.remove("RayService", "guarded")


# --- models --------------------------------------------------------------


def test_models_that_runs_have_left_are_offered_as_the_file_browser_names_them(kuberay: CommandLine, server: Server) -> None:
    run = kuberay.home / "services" / "runs" / "2026-01-01-demo"
    (run / "model").mkdir(parents=True)
    place = str(run / "model")
    (run / "validation.json").write_text(json.dumps({"model": place, "passed": True}))
    (run / "evaluation.json").write_text(json.dumps({"models": {"model": place}, "scores": {"model": {"rougeL": 0.93}}}))
    (only,) = server.client.get("/models").json()
    assert (only["path"], only["run"], only["validated"]) == ("runs/2026-01-01-demo/model", "runs/2026-01-01-demo", True)
    assert only["metrics"] == {"rougeL": 0.93} and only["app"] == "jupyter_kuberay.serving.summarizer:app"
