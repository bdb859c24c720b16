"""Ray's dashboard from another origin: who is let in, what passes, and where it is found.

A real gateway, asked over loopback as a browser asks, with a dashboard behind it that tells what it got.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import pytest_asyncio
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kuberay.errors import NotFound, Refused, Unreachable
from jupyter_kuberay.faces.server.admission import IDLE_S, KEY_S, LONGEST_S, Admission
from jupyter_kuberay.faces.server.dashboards import Asked, by_ssh, label, on_kubernetes, place
from jupyter_kuberay.faces.server.forwarding import led_to
from jupyter_kuberay.faces.server.gateway import Gateway, Site
from jupyter_kuberay.faces.server.way import Way
from jupyter_kuberay.observation import Endpoint, Observation

TOKEN = "rays-own-token"
HOST = "training-1a2b3c4d.localhost"
BIG = 20 * 2**20


# --- keys and sessions -------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def admission(clock: Clock) -> Admission:
    return Admission(clock)


def test_a_key_opens_once(admission: Admission) -> None:
    key = admission.key()
    session = admission.admit(key)
    assert session and admission.knows(session)
    assert admission.admit(key) == ""


def test_a_key_that_nobody_used_in_time_opens_nothing(admission: Admission, clock: Clock) -> None:
    key = admission.key()
    clock.now += KEY_S
    assert admission.admit(key) == "" and admission.over


def test_a_session_ends_when_it_is_not_used(admission: Admission, clock: Clock) -> None:
    session = admission.admit(admission.key())
    for _ in range(3):
        clock.now += IDLE_S - 1
        assert admission.knows(session)
    clock.now += IDLE_S
    assert not admission.knows(session)


def test_a_session_ends_after_some_hours_however_it_is_used(admission: Admission, clock: Clock) -> None:
    session, began = admission.admit(admission.key()), clock.now
    while clock.now < began + LONGEST_S - 60:
        clock.now += 60
        assert admission.knows(session)
    clock.now += 60
    assert not admission.knows(session)


@given(st.text())
def test_nothing_that_is_made_up_opens(text: str) -> None:
    admission = Admission()
    session = admission.admit(admission.key())
    admission.key()
    assert not admission.admit(text) and not admission.knows(text) and admission.knows(session)


def test_keys_and_sessions_have_at_least_128_bits_and_do_not_pile_up(admission: Admission) -> None:
    keys = [admission.key() for _ in range(1000)]
    assert len({*keys}) == 1000 and min(map(len, keys)) >= 22
    assert sum(bool(admission.admit(key)) for key in keys) <= 100


# --- where it is found ---------------------------------------------------------

LAPTOP = Asked(host="127.0.0.1:8888", address="127.0.0.1", agent="Mozilla/5.0 … Chrome/140 Safari/537.36")
SAFARI = "Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15"


@pytest.mark.parametrize("host", ["127.0.0.1:8888", "localhost:8888", "[::1]:8888", "LOCALHOST"])
@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "::1"])
def test_on_a_laptop_each_cluster_has_a_host_of_its_own(host: str, address: str) -> None:
    found = place("ada-1", Asked(host, address), "", "ada", {})
    assert found is not None and (found.scheme, found.host, found.prefix) == ("http", "ada-1.localhost", "")


@pytest.mark.parametrize(("host", "other"), [("localhost:8888", "127.0.0.1"), ("127.0.0.1:8888", "localhost")])
def test_safari_which_finds_no_names_below_localhost_gets_the_loopback_that_jupyters_cookie_is_not_of(host: str, other: str) -> None:
    found = place("ada-1", Asked(host, "localhost", SAFARI), "", "ada", {})
    assert found is not None and (found.host, found.prefix) == (other, "/ada-1")


@pytest.mark.parametrize(
    ("asked", "environment"),
    [
        (Asked("hub.example.org", "127.0.0.1"), {}),
        (Asked("127.0.0.1.example.org:8888", "127.0.0.1"), {}),
        (Asked("localhost:8888", ""), {}),
        (Asked("localhost:8888", "0.0.0.0"), {}),
        (Asked("localhost:8888", "192.0.2.7"), {}),
        (Asked("localhost:8888", "127.0.0.1", proxied=True), {}),
        (Asked("localhost:8888", "127.0.0.1"), {"JUPYTERHUB_SERVICE_PREFIX": "/user/ada/"}),
        (Asked("[", "127.0.0.1"), {}),
    ],
)
def test_elsewhere_there_is_no_link_unless_a_second_host_is_configured(asked: Asked, environment: dict[str, str]) -> None:
    assert place("ada-1", asked, "", "ada", environment) is None
    found = place("ada-1", asked, "ray-{user}.example.org", "Ada L.", environment)
    assert found is not None and (found.scheme, found.port, found.prefix) == ("https", -1, "/ada-1")
    assert found.host.startswith("ray-ada-l--") and found.host.endswith(".example.org")


def test_a_second_host_may_have_the_clusters_name_in_it_a_port_and_another_scheme() -> None:
    found = place("ada-1", LAPTOP, "http://{name}.ray.test:8080", "ada", {})
    assert found is not None and (found.scheme, found.host, found.prefix, found.port) == ("http", "ada-1.ray.test", "", 8080)


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=53), st.uuids())
def test_what_stands_for_a_cluster_fits_into_a_hosts_name(name: str, uid: Any) -> None:
    made = label(name, str(uid))
    assert len(made) <= 63 and made[0].isalpha() and not made.endswith("-")
    assert made != label(name, f"{uid}-another")


def _cluster(uid: str = "uid-1", **more: Any) -> Observation:
    metadata = {"name": "training", "namespace": "ada", "uid": uid}
    return Observation(resource={"kind": "RayCluster", "metadata": metadata, "spec": {}, **more})


def test_the_commands_that_lead_to_a_dashboard_say_where_its_token_is_without_telling_it() -> None:
    line, hint = on_kubernetes(_cluster(status={"head": {"serviceName": "training-abc-head-svc"}}, spec={"authOptions": {"mode": "token"}}))
    assert line == "kubectl -n ada port-forward service/training-abc-head-svc 8265:8265"
    assert "kubectl -n ada get secret training -o go-template='{{.data.auth_token|base64decode}}'" in hint
    assert "secret" not in on_kubernetes(_cluster())[1]
    line, hint = by_ssh("box", 40001, "/home/jovyan/my data/token")
    assert line == "ssh -N -L 8265:127.0.0.1:40001 box" and hint.endswith("cat '/home/jovyan/my data/token'")


# --- where a dashboard may lead ------------------------------------------------


@pytest.mark.parametrize(
    ("location", "to"),
    [
        ("/static/", "http://h/p/static/"),
        ("next?a=1#b", "http://h/p/logs/next?a=1#b"),
        ("http://10.0.0.1:8265/x", "http://h/p/x"),
        ("http://10.0.0.1:8265", "http://h/p/"),
        ("?again", "http://h/p/logs/here?again"),
        ("/x//evil.example", "http://h/p/x//evil.example"),
        ("http://evil.example/", ""),
        ("https://10.0.0.1:8265/", ""),
        ("http://10.0.0.1:8888/api/kernels", ""),
        ("//evil.example/", ""),
        ("\\\\evil.example/", ""),
        ("/\\evil.example/", ""),
        ("http://10.0.0.1:8265@evil.example/", ""),
        ("javascript:alert(1)", ""),
        ("http://[", ""),
    ],
)
def test_a_redirect_leads_to_the_dashboard_itself_or_nowhere(location: str, to: str) -> None:
    assert led_to(location, "http://10.0.0.1:8265/logs/here", "http://h/p") == to


@given(st.text())
def test_no_redirect_leads_to_another_host(location: str) -> None:
    to = led_to(location, "http://10.0.0.1:8265/logs/here", "http://h/p")
    assert to == "" or to.startswith("http://h/p/")


# --- through a real gateway ----------------------------------------------------


class Behind:
    """A cluster whose dashboard tells what it was asked, and how the gateway gets there."""

    def __init__(self) -> None:
        self.uid, self.there, self.suspended, self.token = "uid-1", True, False, TOKEN
        self.got: list[tuple[str, str, dict[str, str]]] = []
        self.bytes = 0
        self.gate = asyncio.Event()
        self.runner = self._new()
        self.port = 0

    def _new(self) -> web.ServerRunner:
        return web.ServerRunner(web.Server(self._answer), shutdown_timeout=0.1)

    async def start(self) -> None:
        await self.runner.setup()
        server = web.TCPSite(self.runner, "127.0.0.1", self.port)
        await server.start()
        self.port = self.runner.addresses[0][1]

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.got.append((request.method, request.raw_path, {name.lower(): value for name, value in request.headers.items()}))
        if request.headers.get("x-ray-authorization") != f"Bearer {self.token}":
            return web.Response(status=401)
        match request.path:
            case "/leads":
                return web.Response(status=302, headers={"Location": request.query["to"]})
            case "/upload":
                async for chunk in request.content.iter_any():
                    self.bytes += len(chunk)
                return web.Response(text=str(self.bytes))
            case "/big":
                return web.Response(body=bytes(BIG))
            case "/slow":
                response = web.StreamResponse()
                await response.prepare(request)
                await response.write(b"first")
                await self.gate.wait()
                await response.write(b" second")
                return response
            case "/breaks":
                response = web.StreamResponse(headers={"Content-Length": "100"})
                await response.prepare(request)
                await response.write(b"first")
                assert request.transport is not None
                request.transport.abort()
                return response
        harm = {
            "Set-Cookie": "username-127-0-0-1-8888=stolen; Domain=localhost",
            "Access-Control-Allow-Origin": "*",
            "Refresh": "0; url=/x",
        }
        harm |= {
            "Content-Security-Policy": "default-src *",
            "Clear-Site-Data": '"*"',
            "Service-Worker-Allowed": "/",
            "X-Frame-Options": "ALLOW",
        }
        return web.Response(text="a dashboard", headers=harm)

    @asynccontextmanager
    async def reach(self, name: str, port: int) -> AsyncIterator[Endpoint]:
        yield Endpoint(host="127.0.0.1", port=self.port, token=self.token)

    async def seen(self) -> Observation:
        if not self.there:
            raise NotFound("There is no cluster 'training'.", "There is no cluster at all.")
        return _cluster(self.uid, spec={"suspend": self.suspended}, status={"state": "suspended" if self.suspended else "ready"})


class Browser(httpx.AsyncClient):
    """One that is sent where ``*.localhost`` leads, and keeps cookies as httpx does."""

    def __init__(self, gateway: Gateway, host: str = HOST) -> None:
        self.origin = f"http://{host}:{gateway.port}"
        super().__init__(base_url=f"http://127.0.0.1:{gateway.port}", headers={"Host": f"{host}:{gateway.port}"}, timeout=30)

    async def opens(self, site: Site) -> httpx.Response:
        """Go to a new link, as a click in JupyterLab does."""
        link = httpx.URL(site.link("it"))
        entered = await self.get(link.raw_path.decode(), headers=CLICK)
        self.headers["Cookie"] = entered.headers["Set-Cookie"].partition(";")[0]
        return entered


CLICK = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest_asyncio.fixture
async def behind() -> AsyncIterator[Behind]:
    behind = Behind()
    await behind.start()
    yield behind
    await behind.runner.cleanup()


@pytest_asyncio.fixture
async def gateway() -> AsyncIterator[Gateway]:
    gateway = Gateway("127.0.0.1")
    await gateway.start()
    yield gateway
    await gateway.close()


def _site(behind: Behind, host: str = HOST, prefix: str = "", uid: str = "uid-1") -> Site:
    return Site(Way("training", uid, behind, behind.seen), host, prefix, "http", "a-cookie")  # type: ignore[arg-type]


@pytest_asyncio.fixture
async def site(gateway: Gateway, behind: Behind) -> Site:
    site = _site(behind)
    await gateway.put(site)
    return site


@pytest_asyncio.fixture
async def browser(gateway: Gateway, site: Site) -> AsyncIterator[Browser]:
    """One that is in."""
    async with Browser(gateway) as browser:
        await browser.opens(site)
        yield browser


@pytest_asyncio.fixture
async def stranger(gateway: Gateway, site: Site) -> AsyncIterator[Browser]:
    async with Browser(gateway) as browser:
        yield browser


pytestmark = pytest.mark.timeout(60)


@pytest.mark.asyncio
async def test_a_link_is_exchanged_for_a_cookie_that_no_script_reads_and_an_address_without_the_key(stranger: Browser, site: Site) -> None:
    entered = await stranger.opens(site)
    assert (entered.status_code, entered.headers["Location"]) == (303, "/")
    assert {part.strip() for part in entered.headers["Set-Cookie"].split(";")} >= {"HttpOnly", "SameSite=Lax", "Path=/"}
    assert "Domain" not in entered.headers["Set-Cookie"] and entered.headers["Referrer-Policy"] == "no-referrer"
    shown = await stranger.get("/", headers=CLICK)
    assert (shown.status_code, shown.text) == (200, "a dashboard")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "path", ["/", "/api/version", "/jupyter-kuberay-open?key=", "/jupyter-kuberay-open?key=%F0%9F%90%AA", "//", "/?key=x"]
)
async def test_without_a_key_nothing_is_answered(stranger: Browser, behind: Behind, path: str) -> None:
    refused = await stranger.get(path)
    assert refused.status_code == 403 and "JupyterLab again" in refused.text
    assert (await stranger.get(path, headers={"Cookie": "a-cookie=made-up; ray-authentication-token=x"})).status_code == 403
    assert behind.got == []


@pytest.mark.asyncio
async def test_a_link_that_was_used_lets_nobody_else_in(gateway: Gateway, stranger: Browser, site: Site) -> None:
    path = httpx.URL(site.link("it")).raw_path.decode()
    assert (await stranger.get(path)).status_code == 303
    async with Browser(gateway) as thief:
        refused = await thief.get(path)
    assert refused.status_code == 403 and "Set-Cookie" not in refused.headers


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "localhost", "other.localhost", f"{HOST}.evil.example", f"x@{HOST}", "[", "", HOST + "."]
)
async def test_another_name_for_this_address_is_refused(gateway: Gateway, browser: Browser, behind: Behind, host: str) -> None:
    refused = await browser.get("/", headers={"Host": f"{host}:{gateway.port}"})
    assert refused.status_code in (400, 403) and behind.got == []


@pytest.mark.asyncio
async def test_the_dashboard_gets_rays_token_and_nothing_of_jupyters(browser: Browser, behind: Behind, caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "a-secret-of-jupyters"
    sent = {
        "Cookie": f"{browser.headers['Cookie']}; username-127-0-0-1-8888={secret}; _xsrf={secret}",
        "Authorization": f"token {secret}",
        "X-XSRFToken": secret,
        "X-Forwarded-Access-Token": secret,
        "X-Ray-Authorization": f"Bearer {secret}",
        "Proxy-Authorization": secret,
        "Referer": f"http://127.0.0.1:8888/?token={secret}",
        "Accept": "text/html",
    }
    answer = await browser.get("/api/version?a=%2F..%2F&b", headers=sent)
    (method, path, headers) = behind.got[-1]
    assert (method, path) == ("GET", "/api/version?a=%2F..%2F&b")
    assert headers["x-ray-authorization"] == f"Bearer {TOKEN}" and headers["accept"] == "text/html"
    assert secret not in str(headers) and "cookie" not in headers
    assert TOKEN not in f"{answer.headers} {answer.text}"
    ours = "\n".join(f"{each.name} {each.getMessage()}" for each in caplog.records if not each.name.startswith(("httpx", "httpcore")))
    assert TOKEN not in ours and "key=" not in ours


@pytest.mark.asyncio
async def test_the_dashboard_sets_no_cookie_and_no_rule_of_its_own(browser: Browser) -> None:
    headers = (await browser.get("/")).headers
    for absent in ("Set-Cookie", "Access-Control-Allow-Origin", "Refresh", "Clear-Site-Data", "Service-Worker-Allowed"):
        assert absent not in headers
    policy = headers.get_list("Content-Security-Policy")
    assert len(policy) == 1 and "default-src 'self'" in policy[0] and "frame-ancestors 'none'" in policy[0]
    assert headers.get_list("X-Frame-Options") == ["DENY"]
    assert headers["Cross-Origin-Opener-Policy"] == headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.asyncio
@pytest.mark.parametrize("to", ["http://evil.example/", "//evil.example/", "/\\evil.example", "http://127.0.0.1:8888/api/kernels"])
async def test_a_dashboard_that_leads_to_another_host_is_not_followed(browser: Browser, to: str) -> None:
    answer = await browser.get("/leads", params={"to": to})
    assert answer.status_code == 502 and "another host" in answer.text and "Location" not in answer.headers


@pytest.mark.asyncio
async def test_a_dashboard_that_leads_to_itself_leads_to_where_the_browser_finds_it(browser: Browser, behind: Behind) -> None:
    for to in ("/x?y", f"http://127.0.0.1:{behind.port}/x?y"):
        answer = await browser.get("/leads", params={"to": to})
        assert (answer.status_code, answer.headers["Location"]) == (302, f"{browser.origin}/x?y")


FROM_ELSEWHERE = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/api/actors/kill?actor_id=1", FROM_ELSEWHERE),
        ("GET", "/api/actors/kill?actor_id=1", CLICK),  # even a link that somebody is made to click
        ("GET", "/api/actors/kill?actor_id=1", FROM_ELSEWHERE | {"Sec-Fetch-Site": "same-site"}),
        ("GET", "/", CLICK | {"Sec-Fetch-Dest": "iframe"}),
        ("GET", "/api/version", {"Origin": "http://evil.example"}),
        ("POST", "/api/jobs/", {"Origin": "http://evil.example"}),
        ("POST", "/api/jobs/", {"Origin": "null"}),
        ("POST", "/api/jobs/", {}),
        ("DELETE", "/api/serve/applications/", CLICK),
        ("OPTIONS", "/api/jobs/", {"Origin": "http://127.0.0.1:8888", "Access-Control-Request-Method": "POST"}),
    ],
)
async def test_another_page_cannot_make_the_browser_ask(
    browser: Browser, behind: Behind, method: str, path: str, headers: dict[str, str]
) -> None:
    refused = await browser.request(method, path, headers=headers)
    assert refused.status_code == 403 and behind.got == []


@pytest.mark.asyncio
async def test_the_dashboards_own_page_asks_as_it_likes(browser: Browser, behind: Behind) -> None:
    own = {"Origin": browser.origin, "Sec-Fetch-Site": "same-origin", "User-Agent": "Mozilla/5.0"}
    assert (await browser.post("/api/jobs/", json={"a": 1}, headers=own)).status_code == 200
    assert (await browser.get("/api/actors/kill?actor_id=1", headers={"Sec-Fetch-Site": "same-origin"})).status_code == 200
    # Ray lets browsers read and not write, and is to know one when it sees it.
    assert behind.got[0][2]["user-agent"] == "Mozilla/5.0" and behind.got[0][2]["sec-fetch-site"] == "same-origin"


@pytest.mark.asyncio
async def test_what_is_big_passes_both_ways(browser: Browser, behind: Behind) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(BIG // 2**16):
            yield bytes(2**16)

    own = {"Origin": browser.origin}
    assert (await browser.put("/upload", content=pieces(), headers=own)).text == str(BIG)
    assert (await browser.put("/upload", content=bytes(1000), headers=own)).text == str(BIG + 1000)
    big = await browser.get("/big")
    assert len(big.content) == BIG == int(big.headers["Content-Length"])
    head = await browser.head("/big")
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.asyncio
async def test_an_answer_comes_as_the_dashboard_gives_it(browser: Browser, behind: Behind) -> None:
    async with browser.stream("GET", "/slow") as answer:
        pieces = answer.aiter_raw()
        assert await anext(pieces) == b"first"
        behind.gate.set()
        assert b"".join([piece async for piece in pieces]) == b" second"


@pytest.mark.asyncio
async def test_an_answer_that_breaks_off_is_not_taken_for_whole(browser: Browser) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await browser.get("/breaks")


@pytest.mark.asyncio
async def test_a_dashboard_that_is_gone_is_told_of_in_a_sentence_and_found_again(browser: Browser, behind: Behind) -> None:
    await behind.runner.cleanup()
    gone = await browser.get("/")
    assert gone.status_code == 502 and "cluster 'training' does not answer" in gone.text and "Traceback" not in gone.text
    behind.runner, behind.port = behind._new(), 0
    await behind.start()  # at another port, as a cluster that was resumed
    assert (await browser.get("/")).text == "a dashboard"


@pytest.mark.asyncio
async def test_a_token_that_has_changed_is_asked_for_anew(browser: Browser, behind: Behind) -> None:
    assert (await browser.get("/")).status_code == 200
    behind.token = "another"
    assert [(await browser.get("/")).status_code for _ in range(2)] == [401, 200]


@pytest.mark.asyncio
@pytest.mark.parametrize("anew", [False, True])
async def test_a_session_ends_with_its_cluster_also_when_another_has_the_name(
    browser: Browser, site: Site, behind: Behind, anew: bool
) -> None:
    assert (await browser.get("/")).status_code == 200
    behind.uid, behind.there = "uid-2", anew
    await site.way.lost()  # what was seen some seconds ago counts no more
    gone = await browser.get("/")
    assert gone.status_code == 502 and "'training' that this was the dashboard of is gone" in gone.text
    asked = len(behind.got)
    behind.uid, behind.there = "uid-1", True
    assert (await browser.get("/")).text == gone.text and len(behind.got) == asked


@pytest.mark.asyncio
async def test_a_suspended_clusters_token_goes_nowhere(browser: Browser, site: Site, behind: Behind) -> None:
    behind.suspended = True
    await site.way.lost()
    answer = await browser.get("/")
    assert answer.status_code == 502 and "does not run" in answer.text and behind.got == []
    behind.suspended = False
    assert (await browser.get("/")).status_code == 200


@pytest.mark.asyncio
async def test_an_unreachable_api_server_does_not_close_a_way_that_works(browser: Browser, site: Site, behind: Behind) -> None:
    assert (await browser.get("/")).status_code == 200

    async def away() -> Observation:
        raise Unreachable("The API server does not answer.")

    site.way._see, site.way._looked = away, float("-inf")
    assert (await browser.get("/")).status_code == 200
    await site.way.lost()
    assert (await browser.get("/")).status_code == 502


@pytest.mark.asyncio
async def test_clusters_that_share_a_host_are_told_apart_by_path_and_cookie(gateway: Gateway, behind: Behind) -> None:
    sites = [_site(behind, "ray.example.org", prefix) for prefix in ("/one", "/two")]
    for each in sites:
        await gateway.put(each)
        each.admission.key()
    async with Browser(gateway, "ray.example.org") as browser:
        entered = await browser.opens(sites[0])
        assert entered.headers["Location"] == "/one/" and "Path=/one/" in entered.headers["Set-Cookie"]
        assert (await browser.get("/one/api/version")).status_code == 200
        assert behind.got[-1][1] == "/api/version"
        answer = await browser.get("/one/leads", params={"to": "/x"})
        assert answer.headers["Location"] == f"{browser.origin}/one/x"
        for path in ("/two/", "/", "/one", "/onetwo/", "/three/"):
            assert (await browser.get(path)).status_code == 403, path
    await gateway.close()


@pytest.mark.asyncio
async def test_websockets_are_refused_in_words(browser: Browser) -> None:
    answer = await browser.get("/", headers={"Connection": "Upgrade", "Upgrade": "websocket"})
    assert answer.status_code == 501


@pytest.mark.asyncio
async def test_a_target_that_is_a_whole_address_leads_nowhere(gateway: Gateway, browser: Browser, behind: Behind) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(
        f"GET http://evil.example/ HTTP/1.1\r\nHost: {HOST}:{gateway.port}\r\nCookie: {browser.headers['Cookie']}\r\n\r\n".encode()
    )
    assert (await reader.readline()).split()[1] == b"403" and behind.got == []
    writer.close()


@pytest.mark.asyncio
async def test_it_listens_on_loopback_only_and_has_its_port_on_both(gateway: Gateway) -> None:
    families = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
    for family, address in families.items():
        with socket.socket(family) as other, pytest.raises(OSError, match=r"in use|assign|supported"):
            other.bind((address, gateway.port))
    assert gateway._runner is not None
    assert {address[0] for address in gateway._runner.addresses} <= {"127.0.0.1", "::1"}


@pytest.mark.asyncio
async def test_a_port_that_is_taken_is_told_with_the_setting_that_names_it(gateway: Gateway) -> None:
    with pytest.raises(Refused, match="dashboard_port"):
        await Gateway("127.0.0.1", gateway.port).start()


@pytest.mark.asyncio
async def test_nothing_is_left_when_it_ends(behind: Behind) -> None:
    gateway = Gateway("127.0.0.1")
    await gateway.start()
    await gateway.put(site := _site(behind))
    async with Browser(gateway) as browser:
        await browser.opens(site)
        async with browser.stream("GET", "/slow") as answer:
            assert await anext(answer.aiter_raw()) == b"first"
            async with asyncio.timeout(5):
                await gateway.close()
        with pytest.raises(httpx.ConnectError):
            await browser.get("/")
