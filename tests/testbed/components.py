"""The programs of the node, how each is started, and how tests make them fail."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from . import api, node
from .configuration import AUDIT, CONTAINERD, COREFILE, KUBELET
from .places import BIN, LOGS, NODE, NODE_ADDRESS, PKI, POD_CIDR, RUN, SERVICE_CIDR, TestbedError
from .processes import command, is_gone, wait_for
from .users import USERS, User

AUDIT_LOG = LOGS / "audit.json"
ETCD = "http://127.0.0.1:2379"
_END_S = 10.0


@dataclass(frozen=True)
class Component:
    """A program that runs once on the node."""

    name: str
    program: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    answers: str = ""  # where it says that it is ready

    @property
    def pids(self) -> list[int]:
        return node.running(self.program)

    @property
    def runs(self) -> bool:
        return bool(self.pids)

    @property
    def runs_otherwise(self) -> bool:
        """Whether it runs with other arguments than usual."""
        return any(command(pid) != [self.program, *self.arguments] for pid in self.pids)

    def start(self, *more: str, wait: bool = True) -> None:
        """Start it, unless it runs, with ``more`` arguments than usual; return when it is ready."""
        log = LOGS / f"{self.name}.log"
        begun = None if self.runs else node.spawn(self.name, self.program, *self.arguments, *more, environment=self.environment)

        def is_up() -> bool:
            if begun is not None and begun.poll() is not None:
                last = log.read_text(errors="replace").splitlines()[-3:]
                raise TestbedError(f"The testbed's {self.name} ended when it began: {' | '.join(last)}")
            return self.runs and self.ready()

        if wait:
            wait_for(f"The testbed's {self.name}", is_up, see=log)

    def ready(self) -> bool:
        """Whether it says so itself."""
        return not self.answers or api.says_ok(self.answers)

    def stop(self) -> None:
        """Ask it to end, and see to it."""
        ending = self._signal(signal.SIGTERM)
        try:
            wait_for(f"the end of {self.name}", lambda: all(map(is_gone, ending)), _END_S)
        except TestbedError:
            self.kill()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        ending = self._signal(signal.SIGKILL)
        wait_for(f"the end of {self.name}", lambda: all(map(is_gone, ending)), _END_S)

    def freeze(self) -> None:
        """Keep its connections open and say nothing, as a network that swallows everything would, until `thaw`."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> list[int]:
        pids = self.pids
        for pid in pids:
            os.kill(pid, number)
        return pids


def _as(user: User) -> str:
    return f"--kubeconfig={user.kubeconfig}"


# In the order in which they are started.
COMPONENTS = {
    component.name: component
    for component in (
        Component(
            "etcd",
            f"{BIN}/etcd",
            [
                f"--data-dir={RUN}/etcd",
                f"--listen-client-urls={ETCD}",
                f"--advertise-client-urls={ETCD}",
                "--listen-peer-urls=http://127.0.0.1:2380",
                "--unsafe-no-fsync",
                "--log-level=warn",
            ],
        ),
        Component("containerd", "/usr/bin/containerd", [f"--config={CONTAINERD}"]),
        Component(
            "apiserver",
            f"{BIN}/kube-apiserver",
            [
                f"--etcd-servers={ETCD}",
                f"--bind-address={NODE_ADDRESS}",
                f"--advertise-address={NODE_ADDRESS}",
                "--secure-port=6443",
                f"--tls-cert-file={PKI}/api.crt",
                f"--tls-private-key-file={PKI}/api.key",
                f"--client-ca-file={PKI}/ca.crt",
                f"--token-auth-file={PKI}/tokens.csv",
                "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction",
                f"--service-account-key-file={PKI}/sa.key",
                f"--service-account-signing-key-file={PKI}/sa.key",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-cluster-ip-range={SERVICE_CIDR}",
                f"--kubelet-client-certificate={PKI}/api-client.crt",
                f"--kubelet-client-key={PKI}/api-client.key",
                "--kubelet-preferred-address-types=InternalIP",
                "--allow-privileged",
                f"--audit-policy-file={AUDIT}",
                f"--audit-log-path={AUDIT_LOG}",
                "--audit-log-maxsize=4096",  # MiB; a log that is rotated is lost for those who read it
                "--audit-log-mode=blocking",  # a request is in the log before its answer is out
            ],
            answers="/readyz",
        ),
        Component(
            "controllers",
            f"{BIN}/kube-controller-manager",
            [
                _as(USERS["controllers"]),
                "--leader-elect=false",
                # Whoever loses the API server comes back after up to half a minute: after two of them in a row, what is known
                # of the node here is older than the usual limit, and the node is said to be lost when it is not.
                "--node-monitor-grace-period=10m",
                f"--service-account-private-key-file={PKI}/sa.key",
                f"--root-ca-file={PKI}/ca.crt",
                "--controllers=*,-node-ipam-controller,-service-lb-controller,-node-route-controller",
            ],
        ),
        Component("scheduler", f"{BIN}/kube-scheduler", [_as(USERS["scheduler"]), "--leader-elect=false"]),
        Component(
            "proxy",
            f"{BIN}/kube-proxy",
            [
                _as(USERS["proxy"]),
                "--proxy-mode=iptables",
                f"--cluster-cidr={POD_CIDR}",
                f"--hostname-override={NODE}",
                "--conntrack-max-per-core=0",
            ],
        ),
        Component("dns", f"{BIN}/dns", ["-conf", str(COREFILE)]),
        Component(
            "kubelet",
            f"{BIN}/kubelet",
            [
                _as(USERS["kubelet"]),
                f"--config={KUBELET}",
                f"--hostname-override={NODE}",
                f"--root-dir={RUN}/kubelet",
                f"--node-ip={NODE_ADDRESS}",
            ],
        ),
        Component(
            "operator",
            f"{BIN}/ray-operator",
            [
                "--enable-leader-election=false",
                "--metrics-addr=0",
                f"--health-probe-bind-address={NODE_ADDRESS}:8082",
                "--use-kubernetes-proxy",
            ],
            {"KUBECONFIG": str(USERS["operator"].kubeconfig)},
            answers=f"http://{NODE_ADDRESS}:8082/readyz",
        ),
    )
}
