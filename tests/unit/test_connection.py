"""What of a connection can be seen without a cluster."""

import threading

from jupyter_kuberay.connection import _told_context


def test_letting_go_of_a_head_that_began_no_session_is_not_waited_for():
    """Ray waits for half a minute there, before the next try can begin."""
    goes, gone = threading.Event(), threading.Event()

    class Worker:
        def close(self):
            goes.wait(60)
            gone.set()

    context = _told_context("alice-1")()
    context.client_worker = Worker()
    context.disconnect()
    assert context.client_worker is None and not gone.is_set()
    goes.set()
    assert gone.wait(60), "it is closed all the same"
    context.disconnect()
