"""The Jupyter Server extension, asked as the side panel and an attacker would ask it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from jupyter_kuberay.faces.server.handlers import LONGEST_BODY
from jupyter_kuberay.faces.server.routes import OPERATIONS, Operation

from .conftest import NAME, CommandLine, Said
from .serving import TOKEN, Server, serving

pytestmark = pytest.mark.timeout(300)

ASLEEP = {"more": {"suspend": True}}  # a cluster of which nothing runs


@pytest.fixture(scope="module")
def server(kuberay: CommandLine) -> Iterator[Server]:
    with serving(kuberay) as running:
        yield running


@pytest.fixture
def asleep(server: Server) -> Iterator[str]:
    """The name of a suspended cluster."""
    name = "asleep"
    made = server.client.post("/clusters", json={"name": name, **ASLEEP})
    assert made.status_code == 201, made.text
    yield name
    server.client.delete(f"/clusters/{name}")
    _until_gone(server, name)


def _until_gone(server: Server, name: str) -> None:
    deadline = time.monotonic() + 30
    while server.client.get(f"/clusters/{name}").status_code != 404:
        assert time.monotonic() < deadline, f"{name} is not gone"
        time.sleep(0.05)


def _path(operation: Operation) -> str:
    return operation.path.format(**dict.fromkeys(operation.parameters, "nobodys"))


# --- what is answered ------------------------------------------------------


def test_profiles_come_with_the_schema_of_their_form(server: Server) -> None:
    offers = server.client.get("/profiles").json()
    assert [offer["name"] for offer in offers if offer["default"]] == ["cpu-small"]
    gpu = next(offer for offer in offers if offer["name"] == "gpu")
    assert gpu["form"]["properties"]["gpus"] == {"default": 1, "description": "GPUs of each worker."} | gpu["form"]["properties"]["gpus"]
    assert gpu["form"]["properties"]["workers"]["maximum"] == 4


def test_a_cluster_is_made_seen_and_deleted(server: Server, asleep: str) -> None:
    made = server.client.get(f"/clusters/{asleep}").json()
    assert (made["name"], made["phase"], made["profile"]) == (asleep, "Suspended", "cpu-small")
    assert asleep in [one["name"] for one in server.client.get("/clusters").json()]
    gone = server.client.delete(f"/clusters/{asleep}")
    assert (gone.status_code, gone.json()) == (202, {"name": asleep, "kind": "cluster"})
    _until_gone(server, asleep)
    server.client.post("/clusters", json={"name": asleep, **ASLEEP})


def test_a_preview_is_what_would_be_made_without_making_it_and_shows_no_secret(server: Server) -> None:
    shown = server.client.post("/manifests", json={"name": "only-shown", "workers": 3}).json()
    assert "kind: RayCluster" in shown["yaml"] and "replicas: 3" in shown["yaml"]
    assert "auth_token" not in shown["yaml"] and "kind: Secret" not in shown["yaml"]
    assert server.client.get("/clusters/only-shown").status_code == 404


def test_the_log_of_a_head_comes_as_lines(server: Server, alice: Said) -> None:
    with server.client.stream("GET", f"/clusters/{NAME}/logs", params={"tail": 50}) as answer:
        assert answer.headers["content-type"].startswith("text/plain")
        lines = list(answer.iter_lines())
    assert any("ray" in line.lower() for line in lines), lines


def test_a_log_that_is_followed_goes_on_until_nobody_reads(server: Server, alice: Said) -> None:
    with server.client.stream("GET", f"/clusters/{NAME}/logs", params={"follow": "true", "tail": 5}) as answer:
        assert next(answer.iter_lines())
    # The server has noticed, and answers as before.
    assert server.client.get(f"/clusters/{NAME}").json()["phase"] == "Ready"
    assert "Traceback" not in server.log


def test_scaling_is_asked_for_and_refused_beyond_the_profile(server: Server, asleep: str) -> None:
    assert server.client.post(f"/clusters/{asleep}/scale", json={"replicas": 2}).json()["wanted"] == {"workers": 2}
    refused = server.client.post(f"/clusters/{asleep}/scale", json={"replicas": 9})
    assert (refused.status_code, refused.json()["kind"]) == (422, "LimitExceeded")
    assert refused.json()["message"] == "Profile 'cpu-small' allows 8 workers, and 9 were asked for."
    assert server.client.get(f"/clusters/{asleep}").json()["wanted"] == {"workers": 2}


def test_a_job_runs_on_a_cluster_that_is_there_and_says_what_it_printed(server: Server, alice: Said) -> None:
    asked = {"name": "counts", "entrypoint": "python -c 'print(6 * 7)'", "cluster": NAME}
    made = server.client.post("/jobs", json=asked)
    assert made.status_code == 201 and (made.json()["name"], made.json()["cluster"]) == ("counts", NAME), made.text
    assert server.client.post("/jobs", json=asked).json()["kind"] == "Conflict"
    deadline = time.monotonic() + 90
    while server.client.get("/jobs/counts").json()["phase"] not in ("Succeeded", "Failed"):
        assert time.monotonic() < deadline, server.client.get("/jobs/counts").text
        time.sleep(0.2)
    assert server.client.get("/jobs/counts").json()["phase"] == "Succeeded"
    with server.client.stream("GET", "/jobs/counts/logs") as answer:
        assert "42" in list(answer.iter_lines())
    assert server.client.delete("/jobs/counts").json() == {"name": "counts", "kind": "job"}


@pytest.mark.parametrize(
    ("asked", "status", "kind"),
    [
        ({"cluster": "nobodys"}, 404, "NotFound"),
        ({"cluster": NAME, "workers": 1}, 422, "InvalidSpec"),
        ({"profile": "none-such"}, 404, "NotFound"),
        ({"workers": 9}, 422, "LimitExceeded"),
        ({"entrypoint": ""}, 422, "InvalidSpec"),
        ({"retries": 1, "cluster": NAME}, 422, "InvalidSpec"),
    ],
)
def test_a_job_that_cannot_be_is_refused(server: Server, alice: Said, asked: dict[str, object], status: int, kind: str) -> None:
    refused = server.client.post("/jobs", json={"name": "not-run", "entrypoint": "true", **asked})
    assert (refused.status_code, refused.json()["kind"]) == (status, kind) and refused.json()["hint"], refused.text
    assert server.client.get("/jobs/not-run").status_code == 404


def test_doctor_finds_nothing_bad_here(server: Server) -> None:
    found = server.client.get("/doctor").json()
    assert found and not [one for one in found if one["level"] == "bad"]


def test_the_description_is_the_one_that_is_committed(server: Server) -> None:
    committed = Path(__file__).parents[3] / "docs" / "openapi.json"
    assert server.client.get("/openapi.json").json() == json.loads(committed.read_text())


# --- what is told ------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_page_gets_what_there_is_and_then_each_change_with_the_next_number(server: Server, asleep: str) -> None:
    async with server.events() as events:
        snapshot = server.client.put("/views/page-1", json={"clusters": []}).json()
        assert snapshot["synced"] and snapshot["backend"] == "local"
        assert asleep in [one["name"] for one in snapshot["clusters"]]
        await events.until(lambda change: change == {"type": "looked", "view": "page-1"})
        server.client.post(f"/clusters/{asleep}/scale", json={"replicas": 3})
        changed = await events.until(lambda change: change["type"] == "status" and change["name"] == asleep)
        assert changed["status"]["wanted"] == {"workers": 3}
        server.client.delete(f"/clusters/{asleep}")
        await events.until(lambda change: change == {"type": "gone", "kind": "cluster", "name": asleep})
        numbers = [event["seq"] for event in events.heard]
        assert numbers == [*range(numbers[0], numbers[0] + len(numbers))] and {event["server"] for event in events.heard} == {
            snapshot["server"]
        }
    server.client.post("/clusters", json={"name": asleep, **ASLEEP})


@pytest.mark.asyncio
async def test_the_use_of_a_cluster_that_somebody_sees_is_told(server: Server, alice: Said) -> None:
    async with server.events() as events:
        server.client.put("/views/page-2", json={"clusters": [NAME]})
        told = await events.until(lambda change: change["type"] == "usage" and change["name"] == NAME)
        assert told["usage"]["gpus"] == 2
        assert server.client.put("/views/page-2", json={"clusters": []}).json()["usage"][NAME] == told["usage"]
    assert server.client.delete("/views/page-2").status_code == 204


def test_neither_events_nor_answers_nor_the_log_hold_rays_token(server: Server, kuberay: CommandLine, alice: Said) -> None:
    tokens = {path.read_text().strip() for path in kuberay.home.glob("kuberay/**/token")}  # jobs that others ran have theirs
    assert tokens and all(tokens), "no token was found to look for"
    answers = [server.client.get(f"/clusters/{NAME}{rest}").text for rest in ("", "/manifest", "/logs")]
    assert not any(token in text for text in [*answers, server.log] for token in tokens)


# --- mistakes, and people who mean harm -------------------------------------


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_nobody_is_answered_without_logging_in(server: Server, operation: Operation) -> None:
    answer = httpx.request(operation.method, f"{server.url}/jupyter-kuberay{_path(operation)}", json={} if operation.body else None)
    assert answer.status_code == 403
    assert set(answer.json()) == {"message", "hint", "kind"}


def test_a_page_of_another_site_cannot_act_with_the_users_cookie(server: Server) -> None:
    with httpx.Client(base_url=server.url, follow_redirects=True) as browser:
        assert browser.get("/tree", params={"token": TOKEN}).status_code in (200, 404)
        assert browser.get("/jupyter-kuberay/clusters").status_code == 200  # logged in, by cookie
        refused = browser.post("/jupyter-kuberay/clusters", json={"name": "not-made", **ASLEEP})
        assert refused.status_code == 403 and "xsrf" in refused.json()["message"]
    assert server.client.get("/clusters/not-made").status_code == 404


@pytest.mark.parametrize("name", ["..%2F..%2Fetc%2Fpasswd", "%2e%2e", "a%00b", "A", "x" * 300, "%F0%9F%90%AA"])
@pytest.mark.parametrize("path", ["/clusters/{}", "/clusters/{}/logs", "/clusters/{}/manifest", "/services/{}", "/jobs/{}"])
def test_a_name_that_is_a_path_or_nonsense_is_refused(server: Server, path: str, name: str) -> None:
    answer = server.client.get(path.format(name))
    assert answer.status_code in (400, 404, 422) and "passwd:" not in answer.text
    assert answer.json()["message"]


def test_a_log_of_a_node_that_is_a_path_is_refused(server: Server, alice: Said) -> None:
    answer = server.client.get(f"/clusters/{NAME}/logs", params={"node": "../../../../../etc/passwd"})
    assert answer.status_code == 404 and "root:" not in answer.text


@pytest.mark.parametrize("chunked", [False, True])
def test_ten_megabytes_are_refused(server: Server, chunked: bool) -> None:
    body = b" " * (10 * 2**20)
    pieces = (body[at : at + 65536] for at in range(0, len(body), 65536))
    answer = server.client.post("/manifests", content=pieces if chunked else body)
    assert answer.status_code == 413 and str(LONGEST_BODY) in answer.json()["message"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{", "InvalidSpec"),
        (b"[1]", "InvalidSpec"),
        (b"[" * 100_000, "InvalidSpec"),
        (b'{"name": "ok", "wrokers": 1}', "InvalidSpec"),
        (b'{"name": "No Name"}', "InvalidSpec"),
        (b'{"name": "ok", "profile": "none-such"}', "NotFound"),
        (b'{"name": "ok", "workers": 99}', "LimitExceeded"),
        (b'{"name": "ok", "workers": -1}', "InvalidSpec"),
        (b'{"name": "ok", "workers": 1e400}', "InvalidSpec"),
        (b'{"name": "ok", "cpu": "many"}', "InvalidSpec"),
    ],
)
def test_a_mistake_is_told_in_words(server: Server, body: bytes, kind: str) -> None:
    answer = server.client.post("/manifests", content=body)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["kind"] == kind and answer.json()["hint"]


@pytest.mark.parametrize("query", ["tail=-1", "tail=many", "tail=99999999", "follow=perhaps"])
def test_a_query_that_cannot_be_is_told_in_words(server: Server, alice: Said, query: str) -> None:
    answer = server.client.get(f"/clusters/{NAME}/logs?{query}")
    assert answer.status_code == 422 and answer.json()["hint"]


def test_what_is_another_users_is_not_there(kuberay: CommandLine, server: Server) -> None:
    bob = CommandLine(kuberay.home)
    bob.environment = {**bob.environment, "JUPYTERHUB_USER": "bob"}
    with serving(bob, name="bob") as bobs:
        made = bobs.client.post("/clusters", json={"name": "bobs", **ASLEEP})
        assert made.json()["user"] == "bob", made.text
        try:
            assert "bobs" not in server.client.get("/clusters").text
            assert "bobs" not in server.client.put("/views/page-3", json={}).text
            for method, rest in (("get", ""), ("delete", ""), ("post", "/suspend"), ("get", "/logs"), ("get", "/manifest")):
                answer = server.client.request(method, f"/clusters/bobs{rest}")
                assert (answer.status_code, answer.json()["kind"]) == (404, "NotFound")
            job = {"name": "runs-on-bobs", "entrypoint": "true", "cluster": "bobs"}
            assert server.client.post("/jobs", json=job).json()["kind"] == "NotFound"
        finally:
            bobs.client.delete("/clusters/bobs")
            _until_gone(bobs, "bobs")
            server.client.delete("/views/page-3")


AUTHORIZER = """
from jupyter_server.auth import Authorizer

class OnlyLooks(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        return action == "read" or resource != "jupyter-kuberay:clusters"

c.ServerApp.authorizer_class = OnlyLooks
"""


def test_jupyters_authorizer_decides_by_the_resources_name(kuberay: CommandLine) -> None:
    config = kuberay.home / "only-looks.py"
    config.write_text(AUTHORIZER)
    with serving(kuberay, f"--config={config}", name="only-looks") as guarded:
        assert guarded.client.get("/clusters").status_code == 200
        assert guarded.client.post("/manifests", json={"name": "ok"}).status_code == 200
        refused = guarded.client.post("/clusters", json={"name": "ok", **ASLEEP})
        assert refused.status_code == 403 and "jupyter-kuberay:clusters" in refused.json()["message"]
        assert refused.json()["hint"]


def test_the_server_never_loads_ray(server: Server, alice: Said) -> None:
    server.client.get("/doctor")
    server.client.get(f"/clusters/{NAME}")
    assert "_raylet" not in Path(f"/proc/{server.pid}/maps").read_text()
