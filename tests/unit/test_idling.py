"""For how long nothing has run, from answers that Ray's own classes write."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta

import pytest

from jupyter_kuberay.backends.idling import idle_for, idling, steady
from jupyter_kuberay.observation import Endpoint

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


def answer(*nodes: tuple[str, int]) -> bytes:
    from ray.core.generated.autoscaler_pb2 import GetClusterResourceStateReply, NodeStatus

    reply = GetClusterResourceStateReply()
    reply.cluster_resource_state.cluster_session_name = "session"
    for status, ms in nodes:
        reply.cluster_resource_state.node_states.add(
            node_id=b"\x00\xff", status=NodeStatus.Value(status), idle_duration_ms=ms, node_activity=["Busy workers on node."]
        )
    return reply.SerializeToString()


@pytest.mark.parametrize(
    ("nodes", "seconds"),
    [
        ([("IDLE", 90_000)], 90),
        ([("IDLE", 90_000), ("IDLE", 30_500)], 30.5),
        ([("IDLE", 90_000), ("RUNNING", 0)], 0),
        ([("IDLE", 90_000), ("DEAD", 5), ("DRAINING", 7)], 90),
    ],
)
def test_a_cluster_is_idle_for_as_long_as_its_busiest_node(nodes, seconds):
    assert idle_for(answer(*nodes)) == timedelta(seconds=seconds)


@pytest.mark.parametrize("told", [b"", answer(), answer(("DEAD", 5)), b"\x0a\xff\xff", b"HTTP/1.1 400 Bad Request"])
def test_an_answer_without_nodes_tells_nothing(told):
    assert idle_for(told) is None


@pytest.mark.parametrize(
    ("before", "idle", "since"),
    [
        (None, None, None),
        (None, 0, None),
        (-60, 0, None),
        (None, 60, -60),
        (-60, 58, -60),  # measured a little late
        (-60, 62, -60),
        (-600, 30, -30),  # something ran meanwhile
    ],
)
def test_the_moment_stays_the_same_for_as_long_as_nothing_runs(before, idle, since):
    def moment(seconds):
        return None if seconds is None else NOW + timedelta(seconds=seconds)

    assert steady(moment(before), None if idle is None else timedelta(seconds=idle), NOW) == moment(since)


@pytest.mark.asyncio
async def test_where_nothing_answers_it_is_not_known(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        async with idling(Endpoint(host="127.0.0.1", port=closed.getsockname()[1])) as asked:
            assert await asked.since(NOW) is None
