"""A kernel and a cluster: attaching, what goes wrong, the loss of a head, and attaching again."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from jupyter_kuberay.attach import Attachment, Reach, attach, attached, detach
from jupyter_kuberay.backends.base import CLIENT_PORT, DASHBOARD_PORT
from jupyter_kuberay.client import Client
from jupyter_kuberay.cluster import Cluster
from jupyter_kuberay.errors import Conflict, Forbidden, Unreachable, VersionMismatch
from jupyter_kuberay.loop import run_sync
from jupyter_kuberay.observation import Endpoint
from tests.local.attach.processes import client_server, rays_of_this_process

pytestmark = pytest.mark.timeout(300)  # the first one waits for the cluster

SOON = 5.0  # seconds within which a person is told; Ray itself takes 30


@contextmanager
def told_soon() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < SOON


def changed(reach: Reach, *, only: int = 0, **changes: object) -> Reach:
    """``reach``, with its endpoints changed."""

    @asynccontextmanager
    async def reach_changed(port):
        async with reach(port) as endpoint:
            yield endpoint.model_copy(update=changes) if only in (0, port) else endpoint

    return reach_changed


@pytest.fixture
def reach(client: Client, cluster: Cluster) -> Reach:
    return partial(client.reach, cluster.name)


@pytest.fixture
def detached(cluster: Cluster) -> None:
    detach()


@pytest.fixture
def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


@pytest.mark.usefixtures("detached")
def test_a_wrong_token_is_named_as_such_in_seconds(reach: Reach):
    with told_soon(), pytest.raises(Forbidden, match="did not accept the token"):
        attach(changed(reach, token="0" * 64), "attached")
    assert attached() is None


@pytest.mark.usefixtures("detached")
def test_a_missing_token_is_named_as_such_in_seconds(reach: Reach):
    with told_soon(), pytest.raises(Forbidden):
        attach(changed(reach, token=""), "attached")


@pytest.mark.usefixtures("detached")
def test_a_head_that_does_not_listen_is_unreachable_in_seconds(reach: Reach, free_port: int):
    with told_soon(), pytest.raises(Unreachable, match=f"127.0.0.1:{free_port}"):
        attach(changed(reach, port=free_port), "attached")


@pytest.mark.usefixtures("detached")
def test_a_port_that_accepts_and_never_answers_is_unreachable_in_seconds(reach: Reach):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with told_soon(), pytest.raises(Unreachable, match="does not answer"):
            attach(changed(reach, only=CLIENT_PORT, port=silent.getsockname()[1]), "attached")


@pytest.mark.usefixtures("detached")
@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ('{"data": {"rayVersion": "2.40.0", "pythonVersion": "3.11.2"}}', r"Ray 2\.40\.0.*install ray==2\.40\.0"),
        ('{"data": {"rayVersion": "", "pythonVersion": "3.9.2"}}', r"Python 3\.9.*kernel with Python 3\.9"),
    ],
)
def test_another_version_is_named_with_what_to_do_about_it(reach: Reach, metadata: str, told: str):
    class Dashboard(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(metadata.encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Dashboard)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with told_soon(), pytest.raises(VersionMismatch, match=told):
            attach(changed(reach, only=DASHBOARD_PORT, port=server.server_port), "attached")
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.usefixtures("detached")
def test_a_version_known_from_the_resource_is_checked_before_anything_is_asked(reach: Reach):
    with pytest.raises(VersionMismatch, match=r"Ray 2\.40\.0"):
        attach(reach, "attached", ray_version="2.40.0")


@pytest.mark.usefixtures("detached")
def test_attaching_needs_no_dashboard(reach: Reach, free_port: int):
    assert attach(changed(reach, only=DASHBOARD_PORT, port=free_port), "attached").alive


def test_rays_own_calls_go_to_the_cluster(attachment: Attachment):
    import ray

    double = ray.remote(lambda number: 2 * number)
    assert ray.get(double.remote(21)) == 42
    assert ray.get(ray.remote(lambda: os.getpid()).remote()) != os.getpid()
    assert rays_of_this_process() == []


def test_attaching_again_gives_the_same_attachment(attachment: Attachment, reach: Reach):
    assert attach(reach, "attached") is attachment is attached()


def test_attaching_to_another_cluster_is_refused_with_what_to_do(attachment: Attachment, reach: Reach):
    with told_soon(), pytest.raises(Conflict, match=r"attached to cluster 'attached'.*detach\(\)"):
        attach(reach, "another")
    assert attachment.alive


def test_another_cluster_replaces_the_first_when_asked_to(attachment: Attachment, reach: Reach):
    with attach(reach, "another", replace=True) as second:
        assert second.alive
        assert not attachment.alive
    assert attached() is None


def test_the_dashboard_answers_at_the_address_that_the_attachment_tells(attachment: Attachment):
    from urllib.request import urlopen

    with urlopen(attachment.dashboard, timeout=SOON) as page:
        assert page.status == 200


def test_no_token_is_left_in_the_environment_or_told(attachment: Attachment, reach: Reach):
    async def token() -> str:
        async with reach(CLIENT_PORT) as endpoint:
            return endpoint.token

    secret = run_sync(token())
    assert len(secret) >= 32
    assert secret not in "".join(os.environ.values())
    assert secret not in f"{attachment!r} {attachment.address} {attachment.dashboard}"


def test_detaching_gives_ray_its_habits_back(attachment: Attachment):
    import ray
    from ray._private import auto_init_hook

    assert os.environ["RAY_ADDRESS"] == attachment.address
    attachment.detach()
    assert "RAY_ADDRESS" not in os.environ
    assert auto_init_hook.enable_auto_connect is True
    assert not ray.is_initialized()


def test_a_token_of_another_cluster_in_the_environment_does_not_get_in_the_way(cluster: Cluster):
    import subprocess
    import sys

    endpoint = cluster.attach().address.removeprefix("ray://").split(":")
    code = f"""
from contextlib import asynccontextmanager
from jupyter_kuberay.attach import attach
from jupyter_kuberay.loop import run_sync
from jupyter_kuberay.observation import Endpoint
@asynccontextmanager
async def reach(port):
    yield Endpoint(host={endpoint[0]!r}, port={endpoint[1]}, token=input())
import ray  # reads the environment now
attach(reach, "attached")
print(ray.get(ray.remote(lambda: "came through").remote()))
"""
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 64}
    done = subprocess.run(
        [sys.executable, "-c", code], input=f"{_token(cluster)}\n" * 2, env=environment, capture_output=True, text=True, timeout=90
    )
    assert "came through" in done.stdout, done.stderr


def test_clients_that_come_to_two_clusters_at_the_same_moment_both_come_in(cluster: Cluster, client: Client):
    """Ray looks for a port for each, and both would take the first: the kernel would give either client either server."""
    import subprocess
    import sys

    code = """
import os, ray
print("ready", flush=True)
host, port = input().split()  # without the tries of ours
ray.init(f"ray://{host}:{port}")
print(ray.get(ray.remote(lambda: os.environ["RAY_ADDRESS"]).remote()))
"""
    beside = Cluster.up(client.spec({"name": "beside", "head": {"cpu": "2", "memory": "2Gi"}}), client=client, timeout=240)
    try:
        children = []
        for each in (cluster, beside):
            environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _token(each)}
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            child = subprocess.Popen([sys.executable, "-c", code], env=environment, text=True, **pipes)
            assert child.stdout is not None and child.stdout.readline() == "ready\n"
            endpoint = _endpoint(each)
            children.append((child, f"{endpoint.host} {endpoint.port}\n"))
        for child, address in children:
            assert child.stdin is not None
            child.stdin.write(address)
            child.stdin.flush()
        said = [child.communicate(timeout=90) for child, _ in children]
    finally:
        beside.down()
    assert all(out for out, _ in said), said
    assert len({out for out, _ in said}) == 2, "each to its own"


def test_a_lost_head_fails_calls_at_once_and_never_starts_a_ray_here_until_attaching_again(cluster: Cluster, client: Client):
    import ray

    attachment = cluster.attach()

    @ray.remote
    def answer() -> int:
        return 42

    @ray.remote
    class Keeper:
        def answer(self) -> int:
            return 42

    keeper = Keeper.remote()
    pending = ray.remote(lambda: time.sleep(1000)).remote()
    assert ray.get([answer.remote(), keeper.answer.remote()]) == [42, 42]
    waiting = Waiting(pending)

    client_server(attachment).kill()
    try:
        with told_soon():
            # A call that waited for the cluster ends too, and not after Ray's 31 s.
            assert str(waiting.error()).startswith("The connection to cluster 'attached' is lost.")
            while attachment.alive:
                time.sleep(0.01)
        for call in (answer.remote, keeper.answer.remote, Keeper.remote, partial(ray.put, 1), partial(ray.get, pending), ray.nodes):
            began = time.monotonic()
            with pytest.raises(Unreachable, match=r"connection to cluster 'attached' is lost.*Attach again"):
                call()
            assert time.monotonic() - began < SOON  # and not after Ray's 31 s
        assert rays_of_this_process() == []
        with told_soon(), pytest.raises(Unreachable):
            attach(partial(client.reach, cluster.name), cluster.name)
    finally:  # others need the cluster, whatever was found out here
        cluster.down()
        Cluster.up(client.spec({"name": cluster.name, "head": {"cpu": "2", "memory": "2Gi"}}), client=client, timeout=240)
    again = cluster.attach()
    assert again is not attachment
    assert ray.get([answer.remote(), Keeper.remote().answer.remote()]) == [42, 42]
    assert rays_of_this_process() == []


class Waiting:
    """A thread in ``ray.get``."""

    def __init__(self, reference: object) -> None:
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._wait, args=(reference,), daemon=True)
        self._thread.start()

    def _wait(self, reference: object) -> None:
        import ray

        try:
            ray.get(reference)
        except BaseException as error:
            self._error = error

    def error(self) -> BaseException:
        self._thread.join(SOON)
        assert self._error is not None
        return self._error


def _token(cluster: Cluster) -> str:
    return _endpoint(cluster).token


def _endpoint(cluster: Cluster) -> Endpoint:
    async def ask() -> Endpoint:
        async with cluster._client.reach(cluster.name, CLIENT_PORT) as endpoint:
            return endpoint

    return run_sync(ask())
