"""Who speaks to the API server: each part of Kubernetes under its own name, and the people that tests act as."""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .places import API, API_SERVICE_ADDRESS, NODE, NODE_ADDRESS, PKI, RUN

MASTERS = "system:masters"
SERVERS_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")


@dataclass(frozen=True)
class User:
    """Somebody with a token. ``login`` is what the API server calls them."""

    name: str
    group: str
    login: str

    @property
    def kubeconfig(self) -> Path:
        return RUN / f"{self.name}.kubeconfig"


# No one's requests of these are logged: they never rest.
SYSTEM = [User(name, MASTERS, f"testbed:{name}") for name in ("controllers", "scheduler", "proxy", "dns")]
KUBELET = User("kubelet", "system:nodes", f"system:node:{NODE}")
# `alice` and `bob` may do nothing until a test grants it.
PEOPLE = [
    User("admin", MASTERS, "admin"),
    User("operator", MASTERS, "operator"),
    User("alice", "users", "alice"),
    User("bob", "users", "bob"),
]
USERS = {user.name: user for user in (*SYSTEM, KUBELET, *PEOPLE)}


def make() -> None:
    """New keys, certificates and tokens, and a kubeconfig for each user."""
    PKI.mkdir(mode=0o700, parents=True)
    _certificates()
    rows = []
    for user in USERS.values():
        token = secrets.token_urlsafe(24)
        rows.append(f'{token},{user.login},{user.name},"{user.group}"')
        user.kubeconfig.touch(mode=0o600)
        user.kubeconfig.write_text(json.dumps(_kubeconfig(user, token)))
    (PKI / "tokens.csv").write_text("\n".join(rows) + "\n")


def token(user: User) -> str:
    """What the user's kubeconfig holds."""
    return str(json.loads(user.kubeconfig.read_text())["users"][0]["user"]["token"])


def _kubeconfig(user: User, token: str) -> dict[str, object]:
    authority = base64.b64encode((PKI / "ca.crt").read_bytes()).decode()
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "testbed", "cluster": {"server": API, "certificate-authority-data": authority}}],
        "users": [{"name": user.name, "user": {"token": token}}],
        "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": user.name, "namespace": "default"}}],
        "current-context": "testbed",
    }


def _certificates() -> None:
    _openssl("req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 3650 -subj /CN=testbed")
    addresses = ["127.0.0.1", API_SERVICE_ADDRESS, NODE_ADDRESS]
    alternatives = ",".join([f"DNS:{name}" for name in SERVERS_NAMES] + [f"IP:{address}" for address in addresses])
    (PKI / "api.ext").write_text(f"subjectAltName={alternatives}\n")
    # With this one the API server shows kubelet that it is the API server.
    (PKI / "api-client.ext").write_text("extendedKeyUsage=clientAuth\n")
    for name, subject in {"api": "/CN=kube-apiserver", "api-client": f"/O={MASTERS}/CN=kube-apiserver"}.items():
        _openssl(f"req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj {subject}")
        signed = f"-CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -extfile {name}.ext"
        _openssl(f"x509 -req -in {name}.csr -out {name}.crt {signed}")
    _openssl("genrsa -out sa.key 2048")


def _openssl(arguments: str) -> None:
    subprocess.run(["openssl", *arguments.split()], cwd=PKI, check=True, capture_output=True)
