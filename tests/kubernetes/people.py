"""Who acts on the cluster under test, and what they are given there."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.testbed import bed
from tests.testbed.users import USERS

CORE, RBAC = "v1", "rbac.authorization.k8s.io/v1"

Json = dict[str, Any]


@dataclass(frozen=True)
class Person:
    """Somebody who speaks to the API server: as whom, with what, and how a RoleBinding calls them."""

    login: str
    kubeconfig: Path
    subject: Mapping[str, str]

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        """What kubectl prints when they call it. AssertionError when it fails, with what it says."""
        program = shutil.which("kubectl") or str(bed.BIN / "kubectl")
        command = [program, f"--kubeconfig={self.kubeconfig}", *arguments]
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr.strip()}"
        return done.stdout

    def create(self, *things: Json) -> None:
        self.kubectl("create", "--filename=-", given=json.dumps({"apiVersion": CORE, "kind": "List", "items": things}))

    def read(self, *arguments: str) -> Json:
        """``kubectl get`` of these, as JSON."""
        return json.loads(self.kubectl("get", *arguments, "--output=json"))


def grant(namespace: str, user: Person, rules: Sequence[Json], name: str = "test") -> list[Json]:
    """A Role and its binding; later changed or deleted as admin, by ``name``."""
    reference = {"apiGroup": RBAC.partition("/")[0], "kind": "Role", "name": name}
    metadata = {"name": name, "namespace": namespace}
    return [
        {"apiVersion": RBAC, "kind": "Role", "metadata": metadata, "rules": list(rules)},
        {"apiVersion": RBAC, "kind": "RoleBinding", "metadata": metadata, "roleRef": reference, "subjects": [dict(user.subject)]},
    ]


def of_the_testbed(name: str) -> Person:
    user = USERS[name]
    return Person(user.login, user.kubeconfig, {"apiGroup": RBAC.partition("/")[0], "kind": "User", "name": user.login})


def namespace_named(name: str, **labels: str) -> Json:
    return {"apiVersion": CORE, "kind": "Namespace", "metadata": {"name": name, "labels": {"jupyter-kuberay-test": "true", **labels}}}


def dissolve(admin: Person, namespace: str) -> None:
    """Begin to remove a namespace. Nobody waits for a pod that takes its time to end; the session's end waits for namespaces."""
    admin.kubectl("delete", "namespace", namespace, "--wait=false")
    admin.kubectl("delete", "pods", "--all", f"--namespace={namespace}", "--force", "--grace-period=0", "--wait=false")
