"""For how long nothing has run on a cluster, which Ray's nodes know and the dashboard does not tell.

Each raylet counts since when it has neither leased a worker nor a resource in
use, and reports it to the GCS for the autoscaler, which asks for it by
`GetClusterResourceState`; with or without an autoscaler it can be asked for.
Ray's own client of that is in what `import ray` loads, 100 MiB; these few
fields of it are read with grpc alone. What they are called and numbered is the
contract between GCS and autoscalers of other languages, KubeRay's among them.

Source: ray/protobuf/autoscaler.proto of Ray 2.58; where another Ray answers otherwise, nothing is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from jupyter_kuberay.observation import Endpoint

_METHOD = "/ray.rpc.autoscaler.AutoscalerStateService/GetClusterResourceState"
_TIMEOUT_S = 4.0
# NodeStatus in Ray's words; the others, DEAD and DRAINING, take no more work.
_RUNNING, _IDLE = 1, 3
# What is told every few seconds comes from reports that are up to some seconds old; less than this is the same moment.
_SAME = timedelta(seconds=15)


async def unknown(now: datetime) -> None:
    """What is told of a cluster that cannot be asked."""


class Idling:
    """Asks one cluster, over one connection; see `idling`."""

    def __init__(self, channel: Any, token: str) -> None:
        self._ask = channel.unary_unary(_METHOD, request_serializer=None, response_deserializer=None)
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self._since: datetime | None = None

    async def since(self, now: datetime) -> datetime | None:
        """Since when nothing has run on it; None while something does, or when it cannot be asked."""
        import grpc

        try:
            reply = await asyncio.to_thread(self._ask, b"", timeout=_TIMEOUT_S, metadata=self._metadata)
        except grpc.RpcError:
            self._since = None  # such as a GCS that speaks TLS only
            return None
        self._since = steady(self._since, idle_for(reply), now)
        return self._since


@asynccontextmanager
async def idling(at: Endpoint) -> AsyncGenerator[Idling, None]:
    """Asks the GCS that answers at ``at``, until the context ends."""
    grpc = await asyncio.to_thread(__import__, "grpc")
    await asyncio.to_thread(_reply)  # which loads protobuf
    # A proxy for the world outside has nothing to do with it.
    channel = grpc.insecure_channel(at.address, options=(("grpc.enable_http_proxy", 0),))
    try:
        yield Idling(channel, at.token)
    finally:
        await asyncio.to_thread(channel.close)


def steady(before: datetime | None, idle: timedelta | None, now: datetime) -> datetime | None:
    """Since when, of how long it is ``now``: the moment ``before``, where that is the same but for how it was measured. Pure."""
    if not idle:
        return None
    since = now - idle
    return before if before is not None and abs(since - before) < _SAME else since


def idle_for(reply: bytes) -> timedelta | None:
    """For how long, from GCS' answer: as its busiest node; None where it has no node, or the answer is none. Pure."""
    from google.protobuf.message import DecodeError

    told = _reply()()
    try:
        told.ParseFromString(reply)
    except DecodeError:
        return None
    nodes = [node for node in told.cluster_resource_state.node_states if node.status in (_RUNNING, _IDLE)]
    if not nodes:
        return None
    return timedelta(milliseconds=min(node.idle_duration_ms if node.status == _IDLE else 0 for node in nodes))


@cache
def _reply() -> Any:
    """The class of the answer, with the fields that are read; the rest of it is skipped over."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="jupyter_kuberay/idling.proto", package="jupyter_kuberay.idling", syntax="proto3")
    node = file.message_type.add(name="Node")
    node.field.add(name="status", number=8, type=field.TYPE_INT32, label=field.LABEL_OPTIONAL)
    node.field.add(name="idle_duration_ms", number=9, type=field.TYPE_INT64, label=field.LABEL_OPTIONAL)
    state = file.message_type.add(name="State")
    state.field.add(name="node_states", number=3, type=field.TYPE_MESSAGE, label=field.LABEL_REPEATED, type_name="Node")
    reply = file.message_type.add(name="Reply")
    reply.field.add(name="cluster_resource_state", number=1, type=field.TYPE_MESSAGE, label=field.LABEL_OPTIONAL, type_name="State")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("jupyter_kuberay.idling.Reply"))
