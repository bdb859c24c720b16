"""The images that pods of tests run: Ray in the version of constraints.txt on the Python that runs this.

`light` has what Ray and the project's code on a cluster need, notebooks included, and s3fs; `heavy` has besides
what deploy/image brings: torch, transformers. An image is kept by its content.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from . import containers
from .base import HOME, UID, base, uses_debians_python
from .build import digest, remove
from .configuration import PAUSE
from .oci import Layer
from .places import BUILT, CACHE, REPOSITORY, TestbedError

FLAVOURS = ("light", "heavy")
# Of the project's dependencies, those that its code on a cluster imports, the last three where notebooks run there;
# the rest serves notebooks elsewhere and the command line.
ON_CLUSTERS = ("ray", "jinja2", "fsspec", "ipykernel", "nbconvert", "papermill")
STORES = "s3fs"
IN_IMAGES = REPOSITORY / "deploy/image/requirements.txt"
AS_THEY_STAND = REPOSITORY / "deploy/image/publishing.txt"
RECIPE = b"1"

PYTHON, RAY = "/opt/python", "/opt/ray"
_MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"


def name(flavour: str) -> str:
    """The image's name, such as docker.io/library/ray:2.58.0-py311."""
    return f"docker.io/library/{_short_name(flavour)}"


def public_name() -> str:
    """Of the image that others publish, with the same Ray and Python."""
    return f"rayproject/{_short_name('light')}"


def _short_name(flavour: str) -> str:
    suffix = "" if flavour == "light" else f"-{flavour}"
    return f"ray:{ray_version()}-py{_MINOR.replace('.', '')}{suffix}"


def ray_version() -> str:
    """The one that the project is tested with."""
    found = re.search(r"^ray==(\S+)$", (REPOSITORY / "constraints.txt").read_text(), re.MULTILINE)
    if not found:
        raise TestbedError("constraints.txt names no version of ray.")
    return found[1]


def load(flavour: str) -> None:
    """Have containerd hold the image, made from the package index if it is not there."""
    packages = _pinned(flavour) + _as_they_stand(flavour)
    key = digest(RECIPE, packages.encode(), sys.version.encode(), sys.base_prefix.encode(), base().name.encode())
    kept = f"localhost/jupyter-kuberay-testbed/{flavour}:{key}"
    known = containers.images()
    if kept not in known:
        print(f"Making the {flavour} image, {name(flavour)} …", flush=True)
        folder = CACHE / f"image-{flavour}"
        remove(folder)
        try:
            _install(folder / "venv", packages)
            _link(folder / "links")
            containers.import_image(kept, _layers(folder), _config())
        finally:
            remove(folder)
        containers.forget(*(other for other in known if other.rpartition(":")[0] == kept.rpartition(":")[0]))
    containers.name_image(kept, name(flavour))
    # Also under the name that is the product's default, which it stands for here.
    containers.name_image(kept, f"docker.io/rayproject/{_short_name(flavour)}")


def load_pause() -> None:
    """What holds a pod's namespaces open: the base, asleep."""
    folder = base()
    kept = f"localhost/jupyter-kuberay-testbed/base:{folder.name.rpartition('-')[2]}"
    if kept not in containers.images():
        containers.import_image(kept, [Layer(folder, keep_owners=True)], {"Entrypoint": ["/bin/sleep", "infinity"]})
    containers.name_image(kept, PAUSE)


def _as_they_stand(flavour: str) -> str:
    """Packages of the image whose own requirements do not count, with their versions."""
    if flavour != "heavy":
        return ""
    wanted = {_package(line) for line in AS_THEY_STAND.read_text().splitlines() if not line.startswith("#")}
    return "".join(line for line in _constraints().splitlines(keepends=True) if _package(line) in wanted)


def requirements(flavour: str) -> list[str]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = {_package(each): each for each in project["dependencies"]}
    brought = IN_IMAGES.read_text().splitlines()
    return [wanted[package] for package in ON_CLUSTERS] + (brought if flavour == "heavy" else [STORES])


def _package(requirement: str) -> str:
    return re.split(r"[\[<>=~! ;]", requirement)[0].lower()


def _pinned(flavour: str) -> str:
    """Every package of the image with its version, a line each. Remembered, so that an image that is there needs no index."""
    wanted, constraints = "\n".join(requirements(flavour)), _constraints()
    remembered = BUILT / f"packages-{flavour}-{digest(wanted.encode(), constraints.encode(), _MINOR.encode())}"
    if not remembered.exists():
        file = BUILT / "constraints.txt"
        file.write_text(constraints)
        command = ["pip", "compile", "--quiet", "--no-header", "--no-annotate", "--python", sys.executable, "--constraint", str(file), "-"]
        text = uv(*command, given=wanted)
        for other in BUILT.glob(f"packages-{flavour}-*"):
            other.unlink()
        remembered.write_text(text)
    return remembered.read_text()


def _constraints() -> str:
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines(keepends=True)
    # As in deploy/image: s3fs stands on botocore, which does not take the python-dateutil that kernels have.
    return "".join(line for line in lines if not line.startswith("python-dateutil=="))


def _install(folder: Path, packages: str) -> None:
    """A virtual environment that can be moved. Compiled, or every pod would do that when it starts."""
    python = Path(sys.base_prefix) / "bin" / f"python{_MINOR}"
    uv("venv", "--relocatable", "--no-project", "--python", str(python), str(folder))
    uv("pip", "install", "--python", str(folder / "bin/python"), "--no-deps", "--compile-bytecode", "--requirement", "-", given=packages)


def _layers(folder: Path) -> Sequence[Layer]:
    layers = [Layer(base(), keep_owners=True)]
    if not uses_debians_python():
        # Packages that were installed beside it are no part of an environment.
        library = f"./lib/python{_MINOR}"
        unneeded = [f"{library}/{each}" for each in ("site-packages/*", "test", "idlelib", "ensurepip", "config-*")]
        layers.append(Layer(Path(sys.base_prefix), PYTHON, [*unneeded, "./share", "./include", "*.a"]))
    return [*layers, Layer(folder / "venv", RAY), Layer(folder / "links")]


def _link(folder: Path) -> None:
    """What makes the parts find each other in their new places."""
    home = "/usr" if uses_debians_python() else PYTHON
    environment = folder / RAY.strip("/")
    (environment / "bin").mkdir(parents=True)
    (environment / "bin/python").symlink_to(f"{home}/bin/python{_MINOR}")
    (environment / "pyvenv.cfg").write_text(f"home = {home}/bin\nversion = {_MINOR}\ninclude-system-site-packages = false\n")
    if not uses_debians_python():
        (folder / "usr/lib").mkdir(parents=True)
        for library in (Path(sys.base_prefix) / "lib").glob("libpython*.so*"):
            (folder / "usr/lib" / library.name).symlink_to(f"{PYTHON}/lib/{library.name}")


def _config() -> dict[str, object]:
    path = f"{RAY}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    environment = [f"PATH={path}", f"HOME={HOME}", "LANG=C.UTF-8", "PYTHONUNBUFFERED=1"]
    return {"User": str(UID), "WorkingDir": HOME, "Env": environment, "Cmd": ["/bin/bash"]}


def uv(*arguments: str, given: str = "") -> str:
    environment = {**os.environ, "PYTHON": sys.executable}
    command = [str(REPOSITORY / "tools/uv"), *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TestbedError(f"uv {' '.join(arguments[:2])} failed:\n{done.stderr.strip()}")
    return done.stdout
