"""Keeps the processes of one RayCluster as its folder asks for them: started, watched, restarted, ended."""

from __future__ import annotations

import asyncio
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from importlib.metadata import version
from typing import Any

from jupyter_kuberay.backends.local import gpus, ports
from jupyter_kuberay.backends.local.ending import end_politely, how
from jupyter_kuberay.backends.local.launching import Launcher
from jupyter_kuberay.backends.local.nodes import HEAD, SIMULATED, Group, head_group, worker_groups
from jupyter_kuberay.backends.local.processes import available_memory, end_descendants, end_now
from jupyter_kuberay.backends.local.stopped import Stopped
from jupyter_kuberay.backends.local.store import Kept, Store, event
from jupyter_kuberay.backends.local.told import Member, cluster_status, former_failure
from jupyter_kuberay.backends.local.unsupported import only_on_kubernetes
from jupyter_kuberay.errors import KubeRayError, Refused

Json = dict[str, Any]

_SOON_S, _PLACE_S = 0.02, 1.0
_LONGEST_WAIT_S = 60.0
_STARTED = b"Ray runtime started."
_TAKEN = (b"ddress already in use", b"Failed to bind", b"is already in use", b"is occupied")
_LATE = (
    b"timed out during startup",
    b"wait_for_module_ready",
    b"Failed to start the dashboard",
)  # Ray gives its parts 30 s; on a busy machine that can be too few
_TRIES = 3  # of a head that did not get as far as being ready


@dataclass(frozen=True)
class Settings:
    """What a `LocalBackend` was told about this machine."""

    head_memory: int = int(1.2 * 2**30)  # bytes that a head needs in truth
    worker_memory: int = int(0.4 * 2**30)

    @classmethod
    def read(cls, value: Json) -> Settings:
        return cls(**{each.name: value[each.name] for each in fields(cls) if each.name in value})


class ClusterKeeper:
    """The nodes of the RayCluster ``name``.

    `step` does what can be done now and says when it wants to be called again; call it also after
    every change of the folder and every end of a child (`ended`).
    """

    def __init__(self, store: Store, name: str, settings: Settings, wake: Callable[[], None]) -> None:
        self.store, self.name, self.settings, self.wake = store, name, settings, wake
        kept = store.read("RayCluster", name)
        self.uid = kept.uid
        self.folder = store.folder("RayCluster", name)
        self.stopped = Stopped(self.uid)
        self.launcher = Launcher(self.folder, self.uid, store.bell.folder / self.uid[:6])
        self.members: list[Member] = []
        self.block: ports.PortBlock | None = None
        self.failure: tuple[str, str] | None = former_failure(kept)  # reason and message
        self._failed_as = kept.resource["metadata"]["generation"]  # of the spec that failed
        self._events: list[Json] = []
        self._endings: set[asyncio.Task[None]] = set()
        self._first_port = 0
        self._said: set[str] = {each["message"] for each in kept.events}
        self._hinted = 0  # the generation of the spec that was looked at

    @property
    def head(self) -> Member | None:
        return next((member for member in self.members if member.group == HEAD and not member.ending), None)

    @property
    def ready(self) -> bool:
        """Whether the head is."""
        return self.head is not None and self.head.ready

    async def step(self) -> float:
        """Bring the nodes nearer to what is asked for. In how many seconds to come again, unless something happens."""
        kept = self.store.find("RayCluster", self.name)
        if kept is None or kept.uid != self.uid:
            return math.inf
        spec = kept.resource["spec"]
        groups = worker_groups(spec)
        if self.failure and kept.resource["metadata"]["generation"] != self._failed_as:
            self.try_again()  # what was changed, be it suspend there and back, is reason enough
        if spec.get("suspend"):
            await self._suspend(kept, groups)
        elif self.failure is None:
            self.begin(kept)
            self._scale(groups, spec)
            self._look()
            self._place(kept, groups)
        self._hint(kept.resource)
        return min(self.tell(kept, groups), self._again_in())

    def try_again(self) -> None:
        """Forget that the head failed, and start it anew at the next step."""
        self.failure = None
        self.members = []

    @property
    def settled(self) -> bool:
        """Whether the head is ready, and nothing that was started is still on its way."""
        return self.ready and not any(member.pid and not member.ready and not member.ending for member in self.members)

    def begin(self, kept: Kept) -> None:
        """Start the head, if none is there: the first thing that a supervisor does."""
        if self.failure is None and self.head is None and not kept.resource["spec"].get("suspend"):
            self.members.insert(0, Member(f"{self.name}-head", HEAD))
            self._place(kept, [])

    # What is wanted

    def _scale(self, groups: Sequence[Group], spec: Json) -> None:
        for group in groups:
            own = [member for member in self.members if member.group == group.name and not member.ending]
            for _ in range(group.replicas - len(own)):
                name = f"{self.name}-{group.name}-worker-{os.urandom(3).hex()[:5]}"
                self.members.append(Member(name, group.name))
                self._events.append(event("CreatedWorkerPod", f"Created worker {name}"))
            for member in _least_needed(own, spec)[: max(0, len(own) - group.replicas)]:
                self._events.append(event("DeletedWorkerPod", f"Deleted worker {member.name}"))
                self._end_later(member)

    def _place(self, kept: Kept, groups: Sequence[Group]) -> None:
        simulated = (kept.resource["metadata"].get("annotations") or {}).get(SIMULATED) == "true"
        by_name = {group.name: group for group in groups} | {HEAD: head_group(kept.resource["spec"])}
        for member in self.members:
            due = not member.pid and not member.ending and time.monotonic() >= member.retry_at
            if due and (member.group == HEAD or self._gcs_answers()) and member.group in by_name:
                self._start(member, by_name[member.group], kept, len(self.members), simulated)
            if member.gate >= 0 and self.ready:
                member.go()

    def _start(self, member: Member, group: Group, kept: Kept, nodes: int, simulated: bool) -> None:
        if (lacking := self._lacking(member, group, simulated)) is not None:
            self._wait(member, "Unschedulable", lacking)
            return
        try:
            if member.group == HEAD:
                self._claim_ports()
            assert self.block is not None
            self.launcher.launch(member, group, self.block, nodes, simulated=simulated, token=self.folder / "token")
        except KubeRayError as error:
            self._wait(member, "Unschedulable", f"{error.message} {error.hint}")
        except OSError as error:
            self._wait(member, "Error", f"It could not be started: {error}")
        else:
            member.reason, member.message = "ContainerCreating", ""
            if member.group == HEAD and not member.restarts:
                self._events.append(event("CreatedHeadPod", f"Created head {member.name}"))

    def _lacking(self, member: Member, group: Group, simulated: bool) -> str | None:
        """Why the node cannot be placed now, in the scheduler's words. Takes the GPUs that it needs."""
        need = self.settings.head_memory if member.group == HEAD else self.settings.worker_memory
        starting = [other for other in self.members if other.pid and not other.ready]
        promised = sum(self.settings.head_memory if other.group == HEAD else self.settings.worker_memory for other in starting)
        free = available_memory() - promised
        if free < need:
            what = "a head" if member.group == HEAD else "a worker"
            numbers = f"{max(free, 0) / 2**30:.1f} GiB are free, and {what} needs {need / 2**30:.1f} GiB."
            return f"0/1 nodes are available: 1 Insufficient memory. {numbers}"
        if group.gpus and not simulated and not member.leases:
            taken = gpus.take(group.gpus)
            if taken is None:
                return f"0/1 nodes are available: 1 Insufficient {group.gpu_resource}."
            member.leases = [*taken.values()]
            self.launcher.gpus[member.name] = [*taken]
        return None

    def _wait(self, member: Member, reason: str, message: str) -> None:
        if member.reason != reason:  # the numbers in a message change from look to look
            told = "FailedScheduling" if reason == "Unschedulable" else reason
            self._events.append(event(told, message, warning=True, about=member.name))
        member.reason, member.message = reason, message
        member.retry_at = time.monotonic() + _PLACE_S

    def _claim_ports(self) -> None:
        if self.block is None:
            but = self._first_port if self.head is not None and self.head.failures else 0
            self.block = ports.claim(0 if but else self._first_port, but=but)
            self._first_port = self.block.first

    def _gcs_answers(self) -> bool:
        head = self.head
        return head is not None and head.pid != 0 and self.block is not None and (head.ready or ports.answers(self.block["gcs"]))

    # What is seen

    def _look(self) -> None:
        for member in self.members:
            if member.pid and not member.ready and not member.ending and self._is_up(member):
                member.ready, member.failures = True, 0

    def _is_up(self, member: Member) -> bool:
        if _STARTED not in self.launcher.said(member):
            return False
        return member.group != HEAD or (self.block is not None and ports.answers(self.block["client"]))

    def ended(self, pid: int, status: int) -> None:
        """A child of this process has ended."""
        member = next((member for member in self.members if member.pid == pid), None)
        if member is None:
            return
        member.pid = 0
        if member.ending:
            return
        end_now(f"{self.uid}/{member.name}")
        member.close_gate()
        if member.group == HEAD:
            self._head_ended(member, status)
        else:
            self._worker_ended(member, status)

    def _worker_ended(self, member: Member, status: int) -> None:
        why = f"{how(status)} {self.launcher.last_words(member)}".strip()
        member.failures += 1
        member.restarts += 1
        member.ready = False
        member.reason, member.message = ("Error" if member.failures < 3 else "CrashLoopBackOff"), why
        member.retry_at = time.monotonic() + min(0.5 * 2**member.failures, _LONGEST_WAIT_S)
        self._events.append(event("BackOff", f"Worker {member.name} ended and is started again. {why}", warning=True, about=member.name))

    def _head_ended(self, head: Member, status: int) -> None:
        said = self.launcher.said(head)
        if not head.ready and head.failures < _TRIES and any(words in said for words in (*_TAKEN, *_LATE)):
            # Somebody bound a port between our look and Ray's start, or the machine is busy.
            head.failures += 1
            end_now(self.uid)
            end_descendants()
            for member in self.members:
                member.close_gate()
                member.pid = 0  # none of them had a chance yet: it counts as no failure of theirs
            self._release_ports()
            return
        why = f"The head ended: {how(status)} {self.launcher.last_words(head, lines=8)}".strip()
        self.failure = ("HeadFailed", why)
        kept = self.store.find("RayCluster", self.name)
        self._failed_as = kept.resource["metadata"]["generation"] if kept else 0
        self._events.append(event("HeadFailed", why, warning=True, about=head.name))
        end_now(self.uid)
        end_descendants()
        head.ready, head.reason, head.message = False, "Error", why
        for member in self.members:
            member.close_gate()
            member.release()
        self.members = [head]
        self._release_ports()

    # The end

    async def _suspend(self, kept: Kept, groups: Sequence[Group]) -> None:
        self.failure = None
        if self.members:
            for member in self.members:
                member.ready, member.ending, member.reason = False, True, "Terminating"
            self.tell(kept, groups)
            await self.end()
            self._events.append(event("DeletedPods", "Ended all nodes, because the cluster is suspended"))

    async def end(self) -> None:
        """End every node, at first politely. Nothing of the cluster runs afterwards."""
        self.stopped.cancel()
        for member in self.members:
            member.ending = True
        await end_politely(self.uid, [member.pid for member in self.members if member.pid])
        await asyncio.to_thread(end_descendants)
        if self._endings:
            await asyncio.wait(self._endings)
        for member in self.members:
            member.close_gate()
            member.release()
        self.members = []
        self._release_ports()
        self.launcher.clean()

    def _end_later(self, member: Member) -> None:
        member.ready, member.ending, member.reason = False, True, "Terminating"
        member.close_gate()
        task = asyncio.get_running_loop().create_task(self._end_one(member))
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)

    async def _end_one(self, member: Member) -> None:
        await end_politely(f"{self.uid}/{member.name}", [member.pid] if member.pid else [])
        member.release()
        with suppress(ValueError):
            self.members.remove(member)
        self.wake()

    def _release_ports(self) -> None:
        if self.block is not None:
            self.block.release()
            self.block = None

    # What is told

    def tell(self, kept: Kept, groups: Sequence[Group]) -> float:
        """Write what is so now. Seconds until it should be tried again: the disk may be full."""
        suspended = bool(kept.resource["spec"].get("suspend")) and not self.members
        port = self.block.__getitem__ if self.block is not None else None
        status = cluster_status(kept.resource, kept.status, self.members, groups, suspended=suspended, failure=self.failure, port=port)
        try:
            self.store.write_status("RayCluster", self.name, status, [member.json for member in self.members], self._events)
        except Refused:
            return 1.0  # nothing is lost: the events are kept, and the clusters run on
        except KubeRayError:
            return math.inf  # it was removed meanwhile
        self._events = []
        return math.inf

    def _hint(self, resource: Json) -> None:
        generation = resource["metadata"]["generation"]
        if generation == self._hinted:
            return
        self._hinted = generation
        for message in only_on_kubernetes(resource, version("ray"), f"{sys.version_info[0]}.{sys.version_info[1]}"):
            if message not in self._said:
                self._said.add(message)
                self._events.append(event("NotOnThisMachine", message))

    def _again_in(self) -> float:
        active = [member for member in self.members if not member.ending]
        if any(member.pid and not member.ready for member in active):
            return _SOON_S
        waiting = [member.retry_at for member in active if not member.pid and self.failure is None]
        return max(_SOON_S, min(waiting) - time.monotonic()) if waiting else math.inf


def _least_needed(members: Sequence[Member], spec: Json) -> list[Member]:
    strategies = [group.get("scaleStrategy") or {} for group in spec.get("workerGroupSpecs") or []]
    named = {name for strategy in strategies for name in strategy.get("workersToDelete") or []}
    order = {member.name: index for index, member in enumerate(members)}
    return sorted(members, key=lambda member: (member.name not in named, member.ready, -order[member.name]))
