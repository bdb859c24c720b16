"""The bed as a whole: up, healthy, down."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass

from . import api, build, configuration, containers, images, machine, node, users
from .base import base
from .components import AUDIT_LOG, COMPONENTS
from .locks import CHANGE, USE, held
from .places import BIN, HERE, LOGS, RUN, STORE, TestbedError
from .processes import wait_for

STATE = RUN / "state.json"
# What a bed that is up was started by; changes elsewhere are no reason to begin anew.
_SHAPES = ("cgroups.py", "components.py", "configuration.py", "disguise.py", "init.py", "node.py", "users.py")


@dataclass(frozen=True)
class Options:
    """What a bed is to be like."""

    gpus: int = 2  # advertised as nvidia.com/gpu, not there
    cpus: int = 16  # advertised; pods share those of the machine
    kuberay: str = build.KUBERAY_VERSION

    @property
    def state(self) -> dict[str, object]:
        shape = build.digest(*((HERE / name).read_bytes() for name in _SHAPES))
        return {**asdict(self), "programs": [program.folder.name for program in build.programs(self.kuberay)], "shape": shape}


def check(options: Options) -> None:
    """Raise Missing if this machine cannot carry such a bed."""
    machine.check(builds=not build.is_built(options.kuberay))


def prepare(options: Options) -> None:
    """Install and build what such a bed needs."""
    with held(CHANGE):
        _prepare(options)


def up(options: Options, *, fresh: bool = False, flavours: tuple[str, ...] = ()) -> bool:
    """Have such a bed up, with these images; whether it had to be begun. It stays when the caller is gone."""
    with held(CHANGE):
        if not fresh and is_up(options):
            _load(flavours)
            return False
    with held(USE), held(CHANGE):
        if not fresh and is_up(options):  # somebody else was faster
            _load(flavours)
            return False
        first = _begin(options, flavours)
        node.stay(first)
        return True


@contextmanager
def lent(options: Options, flavours: tuple[str, ...] = ()) -> Iterator[None]:
    """A bed for as long as the caller lives: found up it stays up, begun here it ends here, even when the caller is killed."""
    with held(USE):
        with held(CHANGE):
            found = is_up(options)
            first = None if found else _begin(options, flavours)
            _load(flavours)
        try:
            yield
        finally:
            if first is not None:
                with held(CHANGE):
                    _end()
                first.wait()


def down() -> None:
    """End it, once nobody uses it."""
    with held(USE), held(CHANGE):
        _end()


def load(flavour: str) -> None:
    """Load an image into the bed that is up."""
    with held(CHANGE):
        _load((flavour,))


def is_up(options: Options | None = None) -> bool:
    """Whether a bed is up and answers, and is like this."""
    if node.birth() is None or not STATE.exists():
        return False
    if options and json.loads(STATE.read_text()) != options.state:
        return False
    return all(component.runs for component in COMPONENTS.values()) and api.says_ok("/readyz") and api.node_is_ready()


def heal() -> None:
    """Start again what a test ended, and wait until all is well."""
    for component in COMPONENTS.values():
        component.thaw()
        if component.runs_otherwise:
            component.stop()
        component.start()
    wait_for("The testbed's node", api.node_is_ready, see=LOGS)
    _advertise(json.loads(STATE.read_text())["gpus"])  # a kubelet that starts again forgets them


def environment() -> dict[str, str]:
    """What points a program at the bed."""
    return {
        "KUBECONFIG": str(users.USERS["admin"].kubeconfig),
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "JUPYTER_KUBERAY_TEST_IMAGE": images.name("light"),
        "JUPYTER_KUBERAY_AUDIT_LOG": str(AUDIT_LOG),
    }


def shell_lines() -> str:
    """The same for a shell."""
    lines = {**environment(), "PATH": f"{BIN}:$PATH"}
    return "\n".join(f"export {name}={value}" for name, value in lines.items())


def _prepare(options: Options) -> None:
    machine.install_packages()
    # Debian's part waits for a mirror and for disks, Go's for processors.
    with ThreadPoolExecutor(1) as beside:
        debian = beside.submit(base)
        build.build(options.kuberay)
        debian.result()


def _load(flavours: tuple[str, ...]) -> None:
    for flavour in flavours:
        images.load(flavour)


def _begin(options: Options, flavours: tuple[str, ...]) -> subprocess.Popen[bytes]:
    """A new bed, that ends with this process unless `node.stay` is called."""
    _end()
    _prepare(options)
    for folder in (LOGS, STORE):
        folder.mkdir(parents=True, exist_ok=True)
    build.use(options.kuberay)
    users.make()
    configuration.write()
    first = node.begin(options.cpus)
    try:
        containers.start()
        images.load_pause()
        for component in COMPONENTS.values():
            if component.name == "operator":
                _define(options.kuberay)
            component.start()
        wait_for("The testbed's node", api.node_is_ready, see=LOGS)
        _advertise(options.gpus)
        _load(flavours)
    except BaseException:
        node.end()  # RUN stays: its logs tell why
        raise
    STATE.write_text(json.dumps(options.state))
    return first


def _advertise(gpus: int) -> None:
    if gpus:
        api.advertise("nvidia.com/gpu", gpus)


def _end() -> None:
    if COMPONENTS["containerd"].runs:
        COMPONENTS["kubelet"].kill()  # or it would start anew what is ended here
        with suppress(TestbedError):  # the next bed sweeps again
            containers.sweep()
        COMPONENTS["containerd"].stop()
    node.end()
    build.remove(RUN)


def _define(kuberay: str) -> None:
    """The operator's custom resources. Created: they are too large for kubectl's apply."""
    kubectl = [str(BIN / "kubectl"), f"--kubeconfig={users.USERS['admin'].kubeconfig}"]
    definitions = build.operator(kuberay).folder / "crd"
    established = [f"crd/{kind}.ray.io" for kind in ("rayclusters", "rayjobs", "rayservices")]
    subprocess.run([*kubectl, "create", f"--kustomize={definitions}"], check=True, stdout=subprocess.DEVNULL)

    def are_established() -> bool:
        # kubectl gives up on one that has no status at all yet, instead of waiting for it.
        wait = [*kubectl, "wait", "--for=condition=Established", "--timeout=10s", *established]
        return subprocess.run(wait, check=False, capture_output=True).returncode == 0

    wait_for("The operator's custom resources", are_established, 30)
