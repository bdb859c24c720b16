"""A JupyterLab of these tests' own: a process, its folders, and the world that it looks at."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from jupyter_kuberay.backends.local.processes import marked
from jupyter_kuberay.backends.local.store import Kept, Store
from jupyter_kuberay.manifest import cluster_bundle
from jupyter_kuberay.spec import ClusterSpec, WorkerGroup

TOKEN = "a-token-of-tests"
STARTS_S, ENDS_S, GONE_S = 60, 20, 60
# The news toast lies over the page, and asks the network.
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/apputils-extension:themes": {"adaptive-theme": False, "theme": "JupyterLab Light"},
}
_OURS = ("JUPYTERHUB_USER", "JUPYTER_KUBERAY_CLUSTER", "JUPYTER_KUBERAY_BACKEND", "JUPYTER_KUBERAY_DATA_DIR", "JUPYTER_CONFIG_PATH")


class Lab:
    """A running one; ``home`` holds all that it keeps."""

    def __init__(self, home: Path, environment: Mapping[str, str], options: Iterable[str] = (), app: str = "lab") -> None:
        self.home, self.port, self.app = home, _free_port(), app
        self.store = Store(home / "k")
        self._options = [*options]
        self._environment = {
            **{key: value for key, value in os.environ.items() if key not in _OURS},
            "HOME": str(home),
            "JUPYTER_DATA_DIR": str(home / "data"),
            "JUPYTER_CONFIG_DIR": str(home / "config"),
            "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
            "JUPYTER_KUBERAY_DATA_DIR": str(home / "k"),
            "IPYTHONDIR": str(home / "ipython"),
            "JUPYTER_TOKEN": TOKEN,
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.client = httpx.Client(base_url=f"{self.url}/jupyter-kuberay", headers={"Authorization": f"token {TOKEN}"}, timeout=60)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return (self.home / "log").read_text(errors="replace")

    # --- life ---

    def start(self) -> None:
        """Return when it answers."""
        (self.home / "work").mkdir(exist_ok=True)
        options = [f"--port={self.port}", f"--ServerApp.root_dir={self.home / 'work'}", "--ServerApp.port_retries=0", *self._options]
        if os.geteuid() == 0:
            options.append("--allow-root")
        # Its application is to be found in the page, for what has no button.
        exposed = "--LabApp.expose_app_in_browser=True"
        command = [sys.executable, "-m", "jupyter", self.app, "--no-browser", "--ip=127.0.0.1", exposed, *options]
        with (self.home / "log").open("a") as log:
            self._process = subprocess.Popen(
                command, env=self._environment, cwd=self.home, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        deadline = time.monotonic() + STARTS_S
        while not self._answers():
            assert self._process.poll() is None and time.monotonic() < deadline, f"no server came up:\n{self.log}"
            time.sleep(0.05)

    def _answers(self) -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/api", timeout=5).status_code == 200
        return False

    def end(self, how: int = signal.SIGTERM) -> None:
        """End the server; its clusters go on."""
        assert self._process is not None
        self._process.send_signal(how)
        try:
            self._process.wait(ENDS_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"the server did not end within {ENDS_S} s of SIGTERM") from None

    def end_kernels(self) -> None:
        """End what notebooks run in, whatever pages know of it: a page learns of a new one a while later."""
        sessions = f"{self.url}/api/sessions"
        for session in self.client.get(sessions).raise_for_status().json():
            ended = self.client.delete(f"{sessions}/{session['id']}")
            assert ended.status_code in (204, 404), ended.text  # 404: it went meanwhile

    # --- the world ---

    def asleep(self, name: str, **fields: Any) -> None:
        """A suspended cluster as its folder keeps it. It has no supervisor, so that hundreds cost nothing."""
        spec = ClusterSpec(
            **{
                "name": name,
                "user": getpass.getuser(),
                "profile": "cpu-small",
                "suspend": True,
                "worker_groups": (WorkerGroup(name="workers"),),
            }
            | fields
        )
        self.store.create(cluster_bundle(spec).resource)
        self.store.write_status("RayCluster", name, {"state": "suspended", "observedGeneration": 1})

    def want(self, name: str, workers: int) -> None:
        """Another number of workers for a suspended cluster, as the command line writes it; one change of its status."""
        generation = self.store.read("RayCluster", name).resource["metadata"]["generation"]
        self.store.write_status("RayCluster", name, {"state": "suspended", "observedGeneration": generation + 1})
        group = "/spec/workerGroupSpecs/0"
        fields = ("replicas", "minReplicas", "maxReplicas")
        self.store.patch("RayCluster", name, [{"op": "replace", "path": f"{group}/{field}", "value": workers} for field in fields])

    def says(self, name: str, message: str) -> None:
        """The head of a cluster that is to run does not, with these words: one write."""
        head = {"name": f"{name}-head", "group": "head", "ready": False, "reason": "CrashLoopBackOff", "message": message, "restarts": 2}
        self.store.write_status("RayCluster", name, {"observedGeneration": 2}, [head])

    def clusters(self) -> list[Kept]:
        return self.store.all("RayCluster")

    def forget(self) -> None:
        """Take down all that there is, and wait until nothing of it runs."""
        kept = [*self.store.all("RayService"), *self.store.all("RayJob"), *self.clusters()]
        for each in kept:
            folder = self.store.folder(each.kind, each.name)
            if (folder / "supervisor.json").exists():
                with suppress(Exception):  # gone with what owned it
                    self.store.mark_deleted(each.kind, each.name)
            else:
                self.store.remove(each.kind, each.name)
        until(lambda: not [*self.store.all("RayService"), *self.store.all("RayJob"), *self.clusters()], GONE_S, "all is gone")
        until(lambda: not [pid for each in kept for pid in marked(each.uid)], GONE_S, "no process is left")


def until(so: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for something that tells nobody of itself."""
    deadline = time.monotonic() + seconds
    while not so():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


@contextmanager
def running(
    *,
    environment: Mapping[str, str] | None = None,
    config: str = "",
    settings: Mapping[str, Any] | None = None,
    options: Iterable[str] = (),
    app: str = "lab",
) -> Iterator[Lab]:
    """A JupyterLab with folders of its own; nothing is left of it, or of its clusters.

    Parameters
    ----------
    config
        The text of its ``jupyter_kuberay_config.py``.
    settings
        JupyterLab's settings beside `SETTINGS`, by plugin.
    app
        "lab", or "notebook" for Notebook 7.
    """
    home = Path(tempfile.mkdtemp(prefix="jku", dir="/tmp"))  # short: Ray's sockets lie below it
    labconfig = home / "config" / "labconfig"
    labconfig.mkdir(parents=True)
    (labconfig / "default_setting_overrides.json").write_text(json.dumps({**SETTINGS, **(settings or {})}))
    if config:
        (home / "config" / "jupyter_kuberay_config.py").write_text(config)
    lab = Lab(home, environment or {}, options, app)
    try:
        lab.start()
        yield lab
    finally:
        if lab._process is not None and lab._process.poll() is None:
            lab.end()
        lab.forget()
        shutil.rmtree(home)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
