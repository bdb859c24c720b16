"""Ray's dashboard with one click: through a Jupyter server, to a cluster that runs."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from .conftest import NAME, CommandLine, Said
from .serving import Server, serving
from .test_server import ASLEEP, _until_gone

pytestmark = pytest.mark.timeout(300)

PAGE = {"User-Agent": "Mozilla/5.0 Chrome/140", "Sec-Fetch-Site": "same-origin"}


@pytest.fixture(scope="module")
def server(kuberay: CommandLine) -> Iterator[Server]:
    with serving(kuberay, name="dashboards") as running:
        yield running


@contextmanager
def _browser(url: str) -> Iterator[httpx.Client]:
    """A browser that has followed the link: names below localhost lead to loopback."""
    link = httpx.URL(url)
    with httpx.Client(base_url=f"http://127.0.0.1:{link.port}", headers={"Host": link.netloc.decode()}, timeout=30) as client:
        entered = client.get(link.raw_path.decode())
        assert entered.status_code == 303, entered.text
        client.headers["Cookie"] = entered.headers["Set-Cookie"].partition(";")[0]
        yield client


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        return int(taken.getsockname()[1])


def _tokens(kuberay: CommandLine) -> set[str]:
    tokens = {path.read_text().strip() for path in kuberay.home.glob("kuberay/**/token")}
    assert tokens
    return tokens


def test_one_click_shows_the_dashboard_with_its_token_added(server: Server, kuberay: CommandLine, alice: Said) -> None:
    answer = server.client.post(f"/clusters/{NAME}/dashboard")
    opened = answer.json()
    assert answer.status_code == 200 and opened["command"] == "" and "once" in opened["hint"]
    link = httpx.URL(opened["url"])
    assert link.host.startswith(f"{NAME}-") and link.host.endswith(".localhost")
    with _browser(opened["url"]) as browser:
        page = browser.get("/", headers=PAGE)
        assert page.status_code == 200 and "<title>Ray Dashboard</title>" in page.text
        version = browser.get("/api/version", headers=PAGE).json()
        nodes = browser.get("/nodes", params={"view": "summary"}, headers=PAGE).json()
        # Ray tells of nodes that have left, too: another test scales this cluster.
        alive = [node for node in nodes["data"]["summary"] if node["raylet"]["state"] == "ALIVE"]
        assert version["ray_version"] and len(alive) == 3
        # Only Ray's own page may make it do something, and Ray lets no page do that either.
        refused = browser.post("/api/jobs/", json={"entrypoint": "true"}, headers=PAGE | {"Origin": f"http://{browser.headers['Host']}"})
        assert refused.status_code == 405
        told = [answer.text, page.text, str(page.headers), server.log]
    assert not any(token in text for token in _tokens(kuberay) for text in told)
    assert str(link.params["key"]) not in server.log


def test_the_link_opens_once_and_without_it_nothing_is_shown(server: Server, alice: Said) -> None:
    url = server.client.post(f"/clusters/{NAME}/dashboard").json()["url"]
    link = httpx.URL(url)
    with _browser(url):
        pass
    for path in (link.raw_path.decode(), "/", "/api/version"):
        refused = httpx.get(f"http://127.0.0.1:{link.port}{path}", headers={"Host": link.netloc.decode()})
        assert refused.status_code == 403 and "JupyterLab" in refused.text


def test_behind_a_proxy_the_command_that_leads_there_is_told(server: Server, kuberay: CommandLine, alice: Said) -> None:
    told = server.client.post(f"/clusters/{NAME}/dashboard", headers={"X-Forwarded-For": "192.0.2.7"}).json()
    assert told["url"] == "" and told["command"].startswith("ssh -N -L 8265:127.0.0.1:")
    path = told["hint"].rpartition("cat ")[2]
    assert Path(path).read_text().strip() in _tokens(kuberay)
    assert not any(token in str(told) for token in _tokens(kuberay))


def test_a_second_host_that_is_configured_is_where_it_is_found(kuberay: CommandLine, alice: Said) -> None:
    port = _free_port()
    config = kuberay.home / "second-host"
    config.mkdir()
    (config / "jupyter_kuberay_config.py").write_text(
        f"c.KubeRay.dashboard_host = 'ray-{{user}}.example.org'\nc.KubeRay.dashboard_port = {port}\nc.KubeRay.user = 'ada'\n"
    )
    hub = CommandLine(kuberay.home)
    hub.environment = {**kuberay.environment, "JUPYTER_CONFIG_DIR": str(config)}
    with serving(hub, name="hub") as server:
        refused = server.client.post(f"/clusters/{NAME}/dashboard")
        assert refused.status_code == 404  # it is another user's
        assert server.client.post("/clusters", json={"name": "adas", "workers": 0}).status_code == 201
        try:
            _until_ready(server, "adas")
            link = httpx.URL(server.client.post("/clusters/adas/dashboard", headers={"X-Forwarded-For": "192.0.2.7"}).json()["url"])
            assert (link.scheme, link.netloc) == ("https", b"ray-ada.example.org")
            at = f"http://127.0.0.1:{port}"
            entered = httpx.get(f"{at}{link.raw_path.decode()}", headers={"Host": "ray-ada.example.org"})
            assert "Secure" in entered.headers["Set-Cookie"] and entered.headers["Location"].startswith("/adas-")
            cookie = entered.headers["Set-Cookie"].partition(";")[0]
            page = httpx.get(f"{at}{entered.headers['Location']}", headers={"Host": "ray-ada.example.org", "Cookie": cookie})
            assert "<title>Ray Dashboard</title>" in page.text
            # The cluster goes while its page is open.
            server.client.delete("/clusters/adas")
            _until_gone(server, "adas")
            gone = httpx.get(f"{at}{entered.headers['Location']}", headers={"Host": "ray-ada.example.org", "Cookie": cookie}, timeout=30)
            assert gone.status_code == 502 and "'adas'" in gone.text and "Traceback" not in server.log
        finally:
            server.client.delete("/clusters/adas")
            _until_gone(server, "adas")
    with pytest.raises(httpx.ConnectError):
        httpx.get(at)


def _until_ready(server: Server, name: str) -> None:
    deadline = time.monotonic() + 90
    while server.client.get(f"/clusters/{name}").json()["phase"] != "Ready":
        assert time.monotonic() < deadline, f"{name} is not ready"
        time.sleep(0.1)


def test_what_does_not_run_or_is_another_users_has_no_dashboard(server: Server, kuberay: CommandLine) -> None:
    bob = CommandLine(kuberay.home)
    bob.environment = {**kuberay.environment, "JUPYTERHUB_USER": "bob"}
    with serving(bob, name="bobs-dashboards") as bobs:
        assert bobs.client.post("/clusters", json={"name": "bobs-own", **ASLEEP}).status_code == 201
        try:
            refused = server.client.post("/clusters/bobs-own/dashboard")
            assert (refused.status_code, refused.json()["kind"]) == (404, "NotFound")
            asleep = bobs.client.post("/clusters/bobs-own/dashboard")
            assert (asleep.status_code, asleep.json()["kind"]) == (503, "Unreachable") and asleep.json()["hint"]
        finally:
            bobs.client.delete("/clusters/bobs-own")
            _until_gone(bobs, "bobs-own")
