"""Ways to be somebody to an API server that need no kubeconfig."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jupyter_kuberay.backends.kuberay import rights

from .conftest import MakeNamespace
from .people import Person

pytestmark = pytest.mark.timeout(120)


def test_kube_authkit_logs_in_where_it_is_installed_and_told_to(alice: Person, make_namespace: MakeNamespace, tmp_path: Path) -> None:
    pytest.importorskip("kube_authkit")
    namespace = make_namespace(alice, rights.rules())
    config = json.loads(alice.kubectl("config", "view", "--raw", "--flatten", "--minify", "--output=json"))
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    authority = tmp_path / "ca.crt"
    authority.write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("KUBECONFIG", "AUTHKIT_", "JUPYTER"))}
    environment |= {"HOME": str(tmp_path), "SSL_CERT_FILE": str(authority), "AUTHKIT_API_HOST": cluster["server"]}

    def asked(token: str) -> subprocess.CompletedProcess[str]:
        code = f"""
from jupyter_kuberay.backends.kuberay import KubeRayBackend
from jupyter_kuberay.errors import KubeRayError
from jupyter_kuberay.loop import run_sync
from jupyter_kuberay.observation import Kind
try:
    backend = KubeRayBackend(namespace={namespace!r})
    print(backend.user(), run_sync(backend.list(Kind.CLUSTER)))
except KubeRayError as error:
    print(type(error).__name__, error.message)
"""
        return subprocess.run(
            [sys.executable, "-c", code], env=environment | {"AUTHKIT_TOKEN": token}, capture_output=True, text=True, check=False
        )

    told = asked(user["token"])
    assert told.stdout.strip() == f"{alice.login} []", told.stderr
    refused = asked("expired")
    assert "does not accept who you are" in refused.stdout, (refused.stdout, refused.stderr)
