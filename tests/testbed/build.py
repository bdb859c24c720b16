"""What the testbed is made of, compiled from Go modules and Debian packages, each kept by the hash of what it was made from."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .places import BIN, BUILT, HERE, TestbedError

KUBERAY = "github.com/ray-project/kuberay/ray-operator"
# The usual one is built from one set of modules with Kubernetes and CoreDNS, so that what they share is compiled once.
KUBERAY_VERSION = "1.6.1"
KUBERAY_VERSIONS = sorted({KUBERAY_VERSION, *(folder.name for folder in (HERE / "operator").iterdir())})
KUBERNETES_VERSION = "v1.34.4"

COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl")


@dataclass(frozen=True)
class Program:
    """A Go program: ``package`` as seen from ``module``, a folder here; ``kept_as`` tells it from others."""

    name: str
    module: str
    package: str = "."
    flags: str = ""
    kept_as: str = ""

    @property
    def folder(self) -> Path:
        """Where it is once it was built."""
        sources = sorted(path for path in (HERE / self.module).rglob("*") if path.suffix in (".go", ".mod", ".sum"))
        made_from = [path.read_bytes() for path in sources] + [self.package.encode(), self.flags.encode()]
        return BUILT / f"{self.kept_as or self.name}-{digest(*made_from)}"

    def build(self) -> None:
        if not self.folder.exists():
            print(f"Building {self.kept_as or self.name}; the first time it takes minutes …", flush=True)
            made(self.folder, self._compile)

    def _compile(self, into: Path) -> None:
        # What debuggers need is a tenth of the compiler's work.
        command = ["go", "build", "-trimpath", "-gcflags=all=-dwarf=false", "-ldflags", f"-s -w {self.flags}".strip()]
        self._go(*command, "-o", str(into / self.name), self.package)
        if self.package == KUBERAY:
            module = self._go("go", "list", "-m", "-f", "{{.Dir}}", KUBERAY).strip()
            shutil.copytree(f"{module}/config/crd", into / "crd", copy_function=shutil.copyfile)

    def _go(self, *command: str) -> str:
        # The compiler is many short processes, whose garbage is not worth collecting: a twentieth of the time.
        environment = {"GOGC": "800", **os.environ, "CGO_ENABLED": "0"}
        done = subprocess.run(command, cwd=HERE / self.module, env=environment, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise TestbedError(f"Go could not build {self.kept_as or self.name}.")
        return done.stdout


KUBE = Program("kube", "kube", flags=f"-X k8s.io/component-base/version.gitVersion={KUBERNETES_VERSION}")
DNS = Program("dns", "kube", "./dns")


def operator(version: str) -> Program:
    """KubeRay's, of one of KUBERAY_VERSIONS."""
    module = "kube" if version == KUBERAY_VERSION else f"operator/{version}"
    return Program("ray-operator", module, KUBERAY, kept_as=f"operator-{version}")


def programs(kuberay: str) -> list[Program]:
    """All that a bed with this version of KubeRay needs."""
    return [KUBE, DNS, operator(kuberay)]


def is_built(kuberay: str) -> bool:
    return all(program.folder.exists() for program in programs(kuberay))


def build(kuberay: str) -> None:
    """Build what is missing."""
    for program in programs(kuberay):
        program.build()


def use(kuberay: str) -> None:
    """Put the programs, with this version of the operator, into BIN under the names that they are called by."""
    BIN.mkdir(parents=True, exist_ok=True)
    links = dict.fromkeys(COMPONENTS, KUBE.folder / KUBE.name)
    links |= {program.name: program.folder / program.name for program in (DNS, operator(kuberay))}
    for name, target in links.items():
        (BIN / name).unlink(missing_ok=True)
        (BIN / name).symlink_to(target)


def digest(*parts: bytes) -> str:
    """A name for these contents."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(hashlib.sha256(part).digest())
    return whole.hexdigest()[:12]


def made(target: Path, make: Callable[[Path], None]) -> Path:
    """``target``, whole: made by ``make`` beside it and put into its place, in the place of what an earlier recipe made."""
    if not target.exists():
        partial = target.with_name(f"{target.name}.partial")
        remove(partial)
        partial.mkdir(parents=True)
        make(partial)
        partial.rename(target)
        stem = target.name.rpartition("-")[0]
        for other in target.parent.glob(f"{stem}-*"):
            if other != target and other.name.rpartition("-")[0] == stem:
                remove(other)
    return target


def remove(folder: Path) -> None:
    """Remove a folder with all that is in it."""
    shutil.rmtree(folder, ignore_errors=True)
