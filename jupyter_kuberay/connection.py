"""The one connection that Ray Client can have in a process, and the end of it.

All that reaches into Ray's own state is here. Ray's habits that a person in a
notebook does not expect are switched off while a cluster is attached:

- a call without a connection starts a Ray on this very machine;
- a lost head keeps every call waiting for 30 s;
- greetings and hints are printed into whatever cell runs.
"""

from __future__ import annotations

import importlib
import logging
import os
import queue
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

from jupyter_kuberay import grammar
from jupyter_kuberay.errors import Failed, Unreachable, VersionMismatch
from jupyter_kuberay.observation import Endpoint
from jupyter_kuberay.preflight import Answer, Versions, knock, token_metadata
from jupyter_kuberay.waiting import cancel_what_is_awaited, tell_a_loss

CONNECT_TRIES = 3
NAMESPACE = "default"  # one for all sessions, so that a named actor is found again


def lost(cluster: str) -> Unreachable:
    """The error of every call between the loss of a connection and the next attach."""
    return Unreachable(f"The connection to cluster {cluster!r} is lost.", "Attach again when its head is back; see its status.")


# A busy machine may need a moment to close the port of who was killed.
_KNOCKS, _BETWEEN_KNOCKS_S = 10, 0.2
_NOTICED_S = 2.0


class Connection:
    """Ray Client's connection to the head of one cluster.

    Parameters
    ----------
    on_end
        Called once from another thread when the connection ended by itself.
    """

    def __init__(self, cluster: str, endpoint: Endpoint, on_end: Callable[[], None]) -> None:
        self.cluster = cluster
        self.endpoint = endpoint
        self._on_end = on_end
        self._restore: list[Callable[[], None]] = []
        self._worker: Any = None
        self._closing = False
        self._dropped = threading.Event()
        self.lost_at: datetime | None = None  # when it ended by itself
        self._signs: queue.SimpleQueue[str] = queue.SimpleQueue()

    @property
    def alive(self) -> bool:
        """Whether calls reach the cluster, as far as is known here. Once it says no, calls say so in our words."""
        worker = self._worker
        if worker is None:
            return False
        if worker.is_connected() and worker.data_client.data_thread.is_alive():
            return True
        self._dropped.wait(_NOTICED_S)  # until then calls would say what Ray says
        return False

    def open(self) -> None:
        """Connect, or raise with everything as it was before."""
        try:
            self._prepare()
            self._connect()
        except BaseException:
            self.close()
            raise
        self._overhear(self._worker.data_client)
        threading.Thread(target=self._watch, args=(self._worker,), name="jupyter-kuberay-connection", daemon=True).start()

    def close(self) -> None:
        """Disconnect, and give Ray its habits back."""
        self._closing = True
        self._signs.put("closing")
        self._drop()
        while self._restore:
            self._restore.pop()()

    def check(self) -> None:
        """Find out at once whether the head is still there; if not, end the connection."""
        if self.alive and knock(self.endpoint) in (Answer.REFUSED, Answer.FORBIDDEN):
            self._end()

    # -- opening

    def _prepare(self) -> None:
        # Ray Client forks nothing, but notebooks do (`!ls`), and gRPC's fork handlers then stall or warn.
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
        grammar.delay()
        import ray  # noqa: F401
        from ray._private import auto_init_hook
        from ray._private.client_mode_hook import _explicitly_disable_client_mode
        from ray.util.client import ray as client

        # Ray Client stays where calls go also after a loss; otherwise some of them say "call ray.init".
        self._restore.append(_explicitly_disable_client_mode)
        self._set(auto_init_hook, "enable_auto_connect", _NeverHere(self.cluster))
        # A handle of an actor asks its context, which says "call ray.init": the worst of all advice.
        context = client.get_context()
        self._set(context, "__class__", _told_context(self.cluster))
        # ray.init() without an address, as libraries do it, must not start one here either.
        self._set_environment("RAY_ADDRESS", f"ray://{self.endpoint.address}")
        self._use_our_token_only()
        # What Ray says about lost connections is said by us, as errors.
        warnings.filterwarnings("ignore", message="Ray Client connection timed out", category=UserWarning)
        for name in ("ray.util.client.dataclient", "ray.util.client.worker", "ray.util.client.logsclient"):
            logger = logging.getLogger(name)
            self._restore.append(partial(logger.removeFilter, _is_for_a_person))
            logger.addFilter(_is_for_a_person)

    def _use_our_token_only(self) -> None:
        # The token travels with each call's metadata and never enters the environment. A token that the environment
        # has for another cluster would be sent beside it, and win.
        raylet: Any = importlib.import_module("ray._raylet")
        if raylet.get_authentication_mode() == raylet.AuthenticationMode.TOKEN:
            raylet.Config.initialize('{"AUTH_MODE": "disabled"}')
            self._restore.append(lambda: raylet.Config.initialize('{"AUTH_MODE": "token"}'))

    def _set(self, owner: Any, name: str, value: Any) -> None:
        before = getattr(owner, name)
        self._restore.append(lambda: setattr(owner, name, before))
        setattr(owner, name, value)

    def _set_environment(self, name: str, value: str) -> None:
        before = os.environ.get(name)

        def restore() -> None:
            if before is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = before

        self._restore.append(restore)
        os.environ[name] = value

    def _connect(self) -> None:
        import ray
        from ray.util.client import ray as client

        for tries_left in reversed(range(CONNECT_TRIES)):
            try:
                ray.init(
                    f"ray://{self.endpoint.address}",
                    namespace=NAMESPACE,
                    logging_level=logging.WARNING,
                    _metadata=token_metadata(self.endpoint),
                )
                break
            except RuntimeError as error:
                if "ersion mismatch" in str(error):
                    raise _mismatch(self.cluster, error) from error
                raise Failed(f"Ray did not let us in on cluster {self.cluster!r}: {error}", "See the log of its head.") from error
            except ConnectionError as error:
                # A first connect to a fresh head fails now and then, and the next one does not: the head forks for each
                # session while gRPC works in it, and what it forks can be dead at once.
                if not tries_left or knock(self.endpoint) is not Answer.WELCOME:
                    raise Unreachable(
                        f"Cluster {self.cluster!r} answers, but starts no session: {str(error).splitlines()[0]}",
                        "Try again; if it stays so, see ray_client_server.out in the logs of its head.",
                    ) from error
        self._worker = client.get_context().client_worker
        ray.is_initialized()  # Asks the head once; from now on this is answered here.
        cancel_what_is_awaited(self._worker)
        tell_a_loss(self._worker, lambda: None if self._closing or self.alive else lost(self.cluster))

    # -- ending

    def _watch(self, worker: Any) -> None:
        """Notice the end: at once when the head is gone, after Ray's own tries when only the network is."""
        threading.Thread(target=self._wait_for_data_thread, args=(worker.data_client.data_thread,), daemon=True).start()
        self._follow(worker.channel)
        reconnecting, doubts = False, 0
        while (sign := self._next_sign(_BETWEEN_KNOCKS_S if reconnecting or doubts else None)) != "closing":
            if sign == "ended":
                self._end()
                return
            if sign == "trouble":
                doubts = _KNOCKS
            elif sign == "reconnecting":
                reconnecting = True
            elif sign == "reconnected":
                reconnecting = False
                self._follow(worker.channel)
            if (reconnecting or doubts) and knock(self.endpoint) in (Answer.REFUSED, Answer.FORBIDDEN):
                if not self._closing:
                    self._end()
                return
            doubts = max(0, doubts - 1)

    def _next_sign(self, timeout: float | None) -> str:
        try:
            return self._signs.get(timeout=timeout)
        except queue.Empty:
            return ""

    def _overhear(self, data_client: Any) -> None:
        """Have it put among the signs that Ray tries to connect again: its channel is closed then, and tells nothing more."""
        reconnect = data_client._reconnect_channel

        def told() -> None:
            self._signs.put("reconnecting")
            try:
                reconnect()
            finally:
                self._signs.put("reconnected")

        data_client._reconnect_channel = told

    def _follow(self, channel: Any) -> None:
        """Have every change of the channel's state that means trouble put among the signs."""
        import grpc

        healthy = (grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.CONNECTING)
        seen_ready = threading.Event()

        def on_state(state: Any) -> None:
            if state is grpc.ChannelConnectivity.READY:
                seen_ready.set()
            if seen_ready.is_set() and state not in healthy:
                self._signs.put("trouble")

        with suppress(ValueError):  # closed meanwhile
            channel.subscribe(on_state)

    def _wait_for_data_thread(self, thread: threading.Thread) -> None:
        thread.join()
        self._signs.put("ended")

    def _end(self) -> None:
        self.lost_at = self.lost_at or datetime.now().astimezone()
        self._drop()
        self._dropped.set()
        self._on_end()

    def _drop(self) -> None:
        """Let Ray forget the connection first, and close it then: closing can take seconds when nobody answers."""
        from ray.util import client
        from ray.util.client.api import _ClientAPI

        worker, self._worker = self._worker, None
        context = client._default_context
        if worker is None and self._closing:
            worker = context.client_worker if not context.is_connected() else None
        if context.client_worker is worker and worker is not None:
            context.api = _ClientAPI()
            context.client_worker = None
            # Bound anew, not changed: ray.shutdown() may be walking through it in another thread.
            client._all_contexts = client._all_contexts - {context}
        if worker is not None:
            _let_go(worker)


def _is_for_a_person(record: logging.LogRecord) -> bool:
    """Keep, of what Ray Client logs, errors and what comes from the cluster; drop what it says about itself."""
    about_itself = ("Log channel", "SIGTERM handler", "Unrecoverable error in data channel", "Unexpected exception:")
    return record.name.endswith("logsclient") and not record.getMessage().startswith(about_itself)


def _let_go(worker: Any) -> None:
    """Close what Ray takes for the connection: half a minute, where a head is gone or has begun no session."""
    worker._in_shutdown = True
    closing = threading.Thread(target=_close, args=(worker,), name="jupyter-kuberay-closing", daemon=True)
    closing.start()
    # A close that finds the head alive takes milliseconds; the next connect is cleaner after it.
    closing.join(timeout=1.0)


def _close(worker: Any) -> None:
    with suppress(Exception):
        worker.close()


class _NeverHere:
    """Stands where Ray reads whether it may start itself on this machine, and says no in words.

    Ray reads it as a truth value before each call that needs a connection, which makes this the one
    place from which such a call can fail at once and with a reason.
    """

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster

    def __bool__(self) -> bool:
        import ray

        if not ray.is_initialized():
            raise lost(self._cluster)
        return False


def _told_context(cluster: str) -> type:
    from ray.util.client import _ClientContext
    from ray.util.client.api import _ClientAPI

    class TellingContext(_ClientContext):  # type: ignore[misc]
        """Ray's context, but for what it says when it is not connected, and how long it takes to be so."""

        def disconnect(self) -> None:
            worker = self.__dict__.get("client_worker")
            self.client_worker, self.api = None, _ClientAPI()
            if worker is not None:
                _let_go(worker)

        def __getattr__(self, key: str) -> Any:
            if key in ("is_initialized", "_internal_kv_initialized") or self.is_connected():
                return super().__getattr__(key)
            raise lost(cluster)

    return TellingContext


def _mismatch(cluster: str, error: RuntimeError) -> VersionMismatch:
    return VersionMismatch(
        f"Cluster {cluster!r} does not run what this kernel has ({Versions.here()}): {' '.join(str(error).split())}",
        "Bring the cluster up again with an image that matches this kernel, as the default image does.",
    )
