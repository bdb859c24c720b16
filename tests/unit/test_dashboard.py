"""What Ray's dashboard answers, in our words."""

import asyncio
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from jupyter_kuberay.backends.dashboard import Dashboard
from jupyter_kuberay.errors import Failed, Unreachable


@pytest.fixture
def answering():
    """A server that answers every POST with status 500 and a text, which is set; gives its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(500)
            self.end_headers()
            self.wfile.write(self.server.text.encode())

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("No available agent to submit job, please try again later.", Unreachable),
        ("aiohttp.client_exceptions.ClientConnectorError: Cannot connect to host 127.0.0.2:52365", Unreachable),
        ("aiohttp.client_exceptions.ServerDisconnectedError: Server disconnected", Unreachable),
        ("ValueError: Job with submission_id j already exists", Failed),
    ],
)
def test_a_job_that_a_nodes_agent_could_not_take_yet_is_no_failed_one(answering, text, error):
    answering.text = text
    dashboard = Dashboard("127.0.0.1", answering.server_port)
    with pytest.raises(error) as told:
        asyncio.run(dashboard.submit_job("true", "j"))
    assert text in told.value.message
