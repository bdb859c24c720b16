"""What we make, and what kubectl makes of the manifest that we print, are the same cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from jupyter_kuberay.backends.kuberay import rights

from .conftest import MakeNamespace
from .people import Person

pytestmark = pytest.mark.timeout(400)

OPTIONS = ("--workers", "1", "--gpus", "1", "--cpu", "500m", "--memory", "1Gi")
# Of the object: what the API server, the operator and kubectl write, each by itself.
OF_THE_SERVER = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "namespace", "name")
VARYING = ("created", "nodes")
APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class CommandLine:
    def __init__(self, person: Person, namespace: str, image: str, folder: Path) -> None:
        profile = {"name": "small", "cluster": {"image": image, "head": {"cpu": "1", "memory": "2Gi"}}}
        settings = {"backend": "kuberay", "namespace": namespace, "profiles": [profile], "default_profile": "small"}
        (folder / "jupyter_kuberay_config.json").write_text(json.dumps({"KubeRay": settings}))
        self._environment = {**os.environ, "KUBECONFIG": str(person.kubeconfig), "JUPYTER_CONFIG_DIR": str(folder), "JUPYTER_NO_CONFIG": ""}

    def __call__(self, *words: str) -> str:
        command = [sys.executable, "-m", "jupyter_kuberay.faces.cli", *words]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


def test_what_kubectl_applies_looks_the_same_as_what_up_makes(
    alice: Person, image: str, make_namespace: MakeNamespace, tmp_path: Path
) -> None:
    namespace = make_namespace(alice, rights.rules())
    kuberay = CommandLine(alice, namespace, image, tmp_path)
    kuberay("up", "ours", *OPTIONS)
    printed = kuberay("manifest", "theirs", *OPTIONS)
    alice.kubectl("apply", "--namespace", namespace, "--filename=-", given=printed)
    alice.kubectl("wait", "raycluster/theirs", "--namespace", namespace, "--for=condition=RayClusterProvisioned", "--timeout=240s")

    def looks(name: str) -> Any:
        return _without_times(json.loads(kuberay("status", name, "-o", "json").replace(name, "NAME")))

    assert looks("ours") == looks("theirs")
    assert {one["name"] for one in json.loads(kuberay("list", "-o", "json"))} == {"ours", "theirs"}
    ours, theirs = (
        _bare(yaml.safe_load(alice.kubectl("get", "raycluster", name, "-n", namespace, "-o", "yaml"))) for name in ("ours", "theirs")
    )
    assert ours == theirs
    # And the manifest of what is there is what was applied: nothing is lost on the way back.
    assert yaml.safe_load(kuberay("manifest", "theirs")) == yaml.safe_load(printed)


def _bare(resource: Any) -> Any:
    metadata = {key: value for key, value in resource["metadata"].items() if key not in OF_THE_SERVER}
    metadata["annotations"] = {key: value for key, value in metadata.get("annotations", {}).items() if key != APPLIED}
    name = resource["metadata"]["name"]
    return json.loads(json.dumps({"metadata": metadata, "spec": resource["spec"]}).replace(name, "NAME"))


def _without_times(told: Any) -> Any:
    """Of a status, all but when it was made, and by which random names its pods go."""
    assert told["phase"] == "Ready", told
    return {key: value for key, value in told.items() if key not in VARYING}
