"""The files that Kubernetes, containerd and CoreDNS are configured by."""

from __future__ import annotations

import json
from pathlib import Path

from . import cgroups, users
from .places import NODE_ADDRESS, PKI, POD_CIDR, RUN, STORE

SOCKET = RUN / "containerd.sock"
PAUSE = "localhost/jupyter-kuberay-testbed/pause:1"  # the image of what holds a pod's namespaces open

CONTAINERD = RUN / "containerd.toml"
NETWORKS = RUN / "networks"
COREFILE = RUN / "Corefile"
KUBELET = RUN / "kubelet.json"
AUDIT = RUN / "audit.json"


def write() -> None:
    """Write all of them."""
    NETWORKS.mkdir()
    CONTAINERD.write_text(containerd())
    COREFILE.write_text(corefile())
    for path, document in {NETWORKS / "10-pods.conflist": pod_network(RUN / "addresses"), KUBELET: kubelet(), AUDIT: audit()}.items():
        path.write_text(json.dumps(document))


def containerd() -> str:
    return f"""
version = 2
root = "{STORE}"
state = "/run/containerd"
[grpc]
  address = "{SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  # Where CAP_SYS_RESOURCE is missing, a negative oom_score_adj cannot be set.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{NETWORKS}"
"""


def pod_network(addresses: Path) -> dict[str, object]:
    """Every packet of a pod goes through the node, so that Services and network policies see it; on a bridge pods would bypass both."""
    ranges = {"type": "host-local", "dataDir": str(addresses), "ranges": [[{"subnet": POD_CIDR}]], "routes": [{"dst": "0.0.0.0/0"}]}
    plugins = [{"type": "ptp", "ipMasq": False, "ipam": ranges}, {"type": "portmap", "capabilities": {"portMappings": True}}]
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": plugins}


def corefile() -> str:
    return f"""
.:53 {{
  bind {NODE_ADDRESS}
  errors
  kubernetes cluster.local in-addr.arpa {{
    kubeconfig {users.USERS["dns"].kubeconfig}
  }}
}}
"""


def kubelet() -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        # Pods reach kubelet: it has to ask the API server who may do what, or every pod could enter every other.
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True}, "x509": {"clientCAFile": str(PKI / "ca.crt")}},
        "authorization": {"mode": "Webhook"},
        "address": NODE_ADDRESS,
        "clusterDNS": [NODE_ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": "",
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroups.NAME}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "maxPods": 200,
    }


def audit() -> dict[str, object]:
    """Who asked for what, but for the parts of Kubernetes itself."""
    restless = [user.login for user in (*users.SYSTEM, users.KUBELET)]
    rules: list[dict[str, object]] = [
        {"level": "None", "users": [*restless, "system:apiserver", "kube-apiserver"]},
        {"level": "None", "nonResourceURLs": ["/readyz*", "/livez*", "/healthz*"]},
        {"level": "Metadata"},
    ]
    return {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": rules}
