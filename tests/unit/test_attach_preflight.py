"""What is found out about a cluster before Ray connects, and how it is told."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from jupyter_kuberay.errors import Forbidden, Unreachable, VersionMismatch
from jupyter_kuberay.observation import Endpoint
from jupyter_kuberay.preflight import Answer, Versions, check_answer, check_versions, dashboard_versions, knock, knock_until_open

HERE = Versions(ray="2.58.0", python="3.11.7")


@pytest.mark.parametrize(
    "there", [HERE, Versions(), Versions(ray="2.58.0"), Versions(python="3.11.2"), Versions(ray="2.58.0", python="3.11.9")]
)
def test_versions_that_agree_or_are_not_known_are_fine(there: Versions):
    check_versions("ada", there, HERE)


@pytest.mark.parametrize(
    ("there", "message", "hint"),
    [
        (Versions("2.57.0", "3.11.7"), "Ray 2.57.0 and Python 3.11, but this kernel has Ray 2.58.0", "install ray==2.57.0 in this kernel."),
        (Versions("2.58.0", "3.12.1"), "Python 3.12", "use a kernel with Python 3.12."),
        (Versions("2.9.3", "3.10.1"), "Ray 2.9.3 and Python 3.10", "install ray==2.9.3 in this kernel and use a kernel with Python 3.10."),
        (Versions("", "3.10.1"), "runs Python 3.10, but", "use a kernel with Python 3.10."),
    ],
)
def test_versions_that_differ_are_both_named_with_what_to_do(there: Versions, message: str, hint: str):
    with pytest.raises(VersionMismatch) as caught:
        check_versions("ada", there, HERE)
    assert message in caught.value.message
    assert caught.value.hint.endswith(hint)


@pytest.mark.parametrize(("answer", "error"), [(Answer.FORBIDDEN, Forbidden), (Answer.REFUSED, Unreachable), (Answer.SILENT, Unreachable)])
def test_an_answer_that_is_no_welcome_names_the_cluster_and_a_remedy(answer: Answer, error: type[Exception]):
    with pytest.raises(error) as caught:
        check_answer("ada", Endpoint(host="h", port=1), answer)
    assert "'ada'" in caught.value.message
    assert caught.value.hint


def test_a_closed_port_refuses_and_a_host_that_does_not_exist_too():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert knock(Endpoint(host="127.0.0.1", port=bound.getsockname()[1])) is Answer.REFUSED
    assert knock(Endpoint(host="no-such-host.invalid", port=1)) is Answer.REFUSED


def test_a_port_that_opens_a_moment_after_its_head_is_ready_is_waited_for_and_one_that_stays_closed_is_told():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        endpoint = Endpoint(host="127.0.0.1", port=bound.getsockname()[1])
        assert knock_until_open(endpoint, opens=0.3) is Answer.REFUSED
        opening = threading.Timer(0.5, bound.listen)
        opening.start()
        # It takes the connection, and says nothing: it is open.
        assert knock_until_open(endpoint, opens=10) is Answer.SILENT
        opening.join()


@pytest.fixture
def dashboard() -> Iterator[ThreadingHTTPServer]:
    """A real HTTP server that answers as a dashboard of Ray does, for whoever has the token."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = server.answers.get(self.path)
            allowed = self.headers.get("x-ray-authorization") == "Bearer secret"
            self.send_response(200 if body and allowed else 404 if allowed else 403)
            self.end_headers()
            self.wfile.write((body or "").encode())

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.answers = {}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("answers", "versions"),
    [
        ({"/api/v0/cluster_metadata": '{"data": {"rayVersion": "2.58.0", "pythonVersion": "3.11.7"}}'}, HERE),
        ({"/api/version": '{"ray_version": "2.40.0"}'}, Versions(ray="2.40.0")),  # one that has no cluster_metadata
        ({"/api/v0/cluster_metadata": "<html>", "/api/version": "[]"}, None),
        ({}, None),
    ],
)
def test_a_dashboard_is_asked_for_versions_in_each_of_rays_ways(dashboard, answers: dict[str, str], versions: Versions | None):
    dashboard.answers = answers
    assert dashboard_versions(Endpoint(host="127.0.0.1", port=dashboard.server_port, token="secret")) == versions


def test_a_dashboard_that_does_not_know_us_or_is_not_there_tells_nothing(dashboard):
    dashboard.answers = {"/api/version": '{"ray_version": "2.40.0"}'}
    at = Endpoint(host="127.0.0.1", port=dashboard.server_port, token="wrong")
    assert dashboard_versions(at) is None
    assert dashboard_versions(at.model_copy(update={"port": 1})) is None
