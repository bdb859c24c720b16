"""Runs a command on the testbed as somebody who has the rights of deploy/role.yaml and no others, beside a folder that pods see, too.

    python -m tests.kubernetes.shared jupyter-kuberay demo --run-dir {folder}/run

The folder is a claim in every pod and a folder here, as a notebook server on a hub shares a claim with its clusters; its path
stands for ``{folder}`` in the command. In it lie the lifecycle's notebooks, and this package for the pods' Python. On a cluster of
your own the same is a profile with such a claim, and
`jupyter kuberay demo --run-dir` below its mount path.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jupyter_kuberay
from jupyter_kuberay.backends.kuberay import rights
from tests.testbed import images

from .people import Person, grant, namespace_named, of_the_testbed

CLAIM, SIZE, PROFILE, SERVICE_PROFILE = "runs", "5Gi", "shared", "small"
PACKAGES = "packages"


def main() -> int:
    command = sys.argv[1:]
    if os.environ.get("JUPYTER_KUBERAY_TEST_CLUSTER", "testbed") != "testbed":
        sys.exit("On a cluster of your own: jupyter kuberay demo --profile NAME --run-dir PATH, where the profile mounts a claim at PATH.")
    # Pods run as another user; what they write lies here for whoever looks at it afterwards.
    folder = Path(tempfile.mkdtemp(prefix="jupyter-kuberay-shared-", dir="/var/tmp"))
    folder.chmod(0o777)
    install(folder / PACKAGES)
    shutil.copytree(images.REPOSITORY / "notebooks", folder / "notebooks")
    admin, alice = of_the_testbed("admin"), of_the_testbed("alice")
    with _made(admin, alice, folder) as namespace, tempfile.TemporaryDirectory() as config:
        Path(config, "jupyter_kuberay_config.json").write_text(json.dumps({"KubeRay": _config(namespace, folder)}))
        beside = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {**os.environ, "KUBECONFIG": str(alice.kubeconfig), "JUPYTER_CONFIG_DIR": config, "PATH": beside}
        # On a hub, notebooks and pods are one user; here they are two who write into the same folders.
        words = [word.replace("{folder}", str(folder)) for word in command]
        code = subprocess.run(words, env=environment, check=False, umask=0).returncode
        # A job that has ended stays, with what it printed, until somebody removes it.
        left = admin.kubectl("get", "rayclusters,rayservices", "--namespace", namespace, "--output=name").split()
        if code == 0 and left and "--keep" not in command:
            print(f"{command[0]} left {', '.join(left)} behind.", file=sys.stderr)
            code = 1
    return code


@contextmanager
def _made(admin: Person, alice: Person, folder: Path) -> Iterator[str]:
    """A namespace in which alice may do what a user needs, with a claim that is ``folder``."""
    namespace = f"jupyter-kuberay-shared-{uuid.uuid4().hex[:6]}"
    admin.create(namespace_named(namespace))
    try:
        admin.create(*grant(namespace, alice, rights.rules()), *storage(namespace, folder))
        admin.create(*grant(namespace, pods_of(namespace), rights.rules(), "pods"))  # notebooks in the cluster publish
        yield namespace
    finally:
        admin.kubectl("delete", "namespace", namespace, "--timeout=180s")
        admin.kubectl("delete", "persistentvolume", namespace, "--ignore-not-found")


def pods_of(namespace: str) -> Person:
    """As whom pods that name no service account speak to the API server."""
    return Person("pods", Path(), {"kind": "ServiceAccount", "name": "default", "namespace": namespace})


def storage(namespace: str, folder: Path) -> list[dict[str, Any]]:
    """A claim that is a folder of this machine, which holds the testbed's pods."""
    common = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    volume = {"capacity": {"storage": SIZE}, "hostPath": {"path": str(folder)}, "claimRef": {"namespace": namespace, "name": CLAIM}}
    claim = {"volumeName": namespace, "resources": {"requests": {"storage": SIZE}}}
    return [
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": namespace}, "spec": {**common, **volume}},
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": CLAIM, "namespace": namespace},
            "spec": {**common, **claim},
        },
    ]


def install(folder: Path, as_they_stand: Path | None = None) -> None:
    """Put this package, whole, where pods look for packages, as a wheel in the image would be; and what such a file lists, too."""
    if as_they_stand is not None:
        images.uv(
            "pip",
            "install",
            "--target",
            str(folder),
            "--no-deps",
            "--constraint",
            str(images.REPOSITORY / "constraints.txt"),
            "--requirement",
            str(as_they_stand),
        )
    package = Path(jupyter_kuberay.__file__).parent
    shutil.copytree(package, folder / package.name, ignore=shutil.ignore_patterns("__pycache__", "labextension"))
    told = folder / f"{package.name}-{jupyter_kuberay.__version__}.dist-info" / "METADATA"
    told.parent.mkdir()
    told.write_text(f"Metadata-Version: 2.1\nName: jupyter-kuberay\nVersion: {jupyter_kuberay.__version__}\n")


def _config(namespace: str, folder: Path) -> dict[str, Any]:
    """What an administrator would set: the image with torch, and the claim in every node."""
    volumes = [{"name": CLAIM, "mount_path": str(folder), "claim": CLAIM}]
    common = {"volumes": volumes, "env": {"PYTHONPATH": str(folder / PACKAGES)}}
    # Two of these have room on a machine with 24 GiB. The head needs its memory for what asks for no CPU, such as `Cluster.run` itself:
    # with 3 GiB some of two notebooks' was killed, and with 4 GiB on each node tuning and training were.
    head = {"cpu": "1", "memory": "5Gi", **common, "ray_start_params": {"num-cpus": "0"}}
    worker = {"name": "workers", "replicas": 1, "cpu": "4", "memory": "6Gi", **common}
    cluster = {"image": images.name("heavy"), "head": head, "worker_groups": [worker]}
    # Beside a cluster whose kernels run in it, too, and need more.
    small = {**cluster, "head": {**head, "memory": "4Gi"}, "worker_groups": [{**worker, "memory": "4Gi"}]}
    return {
        "backend": "kuberay",
        "namespace": namespace,
        "default_profile": PROFILE,
        "profiles": [{"name": PROFILE, "cluster": cluster}, {"name": SERVICE_PROFILE, "cluster": small}],
    }


if __name__ == "__main__":
    sys.exit(main())
