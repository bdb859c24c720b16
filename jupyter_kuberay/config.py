"""What an administrator sets: where clusters run, what is offered, who the user is.

Read from ``jupyter_kuberay_config.py`` or ``.json`` in any of Jupyter's
configuration folders (``jupyter --paths``), as in::

    c.KubeRay.backend = "local"
    c.KubeRay.profiles = [{"name": "gpu", "cluster": {"worker_groups": [{"gpus": 1}]}, "limits": {"gpus": 2}}]
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitlets import Bool, Dict, Enum, Integer, List, TraitError, Unicode
from traitlets.config import Config, SingletonConfigurable
from traitlets.config.loader import ConfigFileNotFound, JSONFileConfigLoader, PyFileConfigLoader

from jupyter_kuberay.errors import InvalidSpec

if TYPE_CHECKING:
    from jupyter_kuberay.profiles import Profile

FILE = "jupyter_kuberay_config"
BACKEND_VARIABLE = "JUPYTER_KUBERAY_BACKEND"  # says it for one process and those that it starts, before any file does


class KubeRay(SingletonConfigurable):
    """The settings of jupyter-kuberay."""

    backend = Enum(
        ("local", "kuberay"), default_value="local", help="Where clusters run: 'local' is this machine, 'kuberay' a Kubernetes cluster."
    ).tag(config=True)
    context = Unicode("", help="Which context of the kubeconfig the kuberay backend takes; default: the current one.").tag(config=True)
    namespace = Unicode("", help="In which namespace a user's clusters are; default: the context's, or the pod's own.").tag(config=True)
    data_dir = Unicode("", help="Where the local substrate keeps its clusters; default: 'kuberay' in Jupyter's data directory.").tag(
        config=True
    )
    user = Unicode("", help="Who the user is; default: JupyterHub's user, or the system's.").tag(config=True)
    profiles = List(Dict(), help="What is offered; default: cpu-small, cpu and gpu.").tag(config=True)
    default_profile = Unicode("", help="Which profile is taken when none is named; default: the first.").tag(config=True)
    limits = Dict(help="Limits of clusters that are made without a profile, as in a profile's limits.").tag(config=True)
    show_progress = Bool(
        True, help="Show beside a cell that takes longer than 2 s what its Ray tasks do, in an attached notebook that a person sits at."
    ).tag(config=True)
    auto_attach = Bool(
        False, help="Attach a kernel again before its next cell when the connection was lost; otherwise it is only said."
    ).tag(config=True)
    dashboard_host = Unicode(
        "",
        help="A second host, of another site than Jupyter's if that can be, at which a proxy leads browsers to `dashboard_port`, for Ray's "
        "dashboards; {user} and {name} (of the cluster) may stand in it, as in 'ray-{user}.example.org'. https, unless it begins with http://.",
    ).tag(config=True)
    dashboard_port = Integer(
        0, min=0, max=65535, help="Where Ray's dashboards are handed on; 0, which a second host does not allow, is any that is free."
    ).tag(config=True)

    def offered(self) -> tuple[Profile, ...]:
        """The profiles, checked."""
        from jupyter_kuberay.profiles import DEFAULTS, read_profiles

        return read_profiles(self.profiles or DEFAULTS)

    def without_profile(self) -> Profile:
        """The limits of a cluster that names no profile."""
        from jupyter_kuberay.profiles import Limits, Profile

        return Profile(name="(none)", limits=Limits(**self.limits))


def load(**overrides: Any) -> KubeRay:
    """The settings as they are now in Jupyter's configuration folders, the strongest last; the environment's word and ``overrides`` win.

    Raises
    ------
    InvalidSpec
        A configuration file cannot be read, or a setting in it cannot be; the message names it.
    """
    from jupyter_core.paths import jupyter_config_path

    config = Config()
    # Jupyter names the folders with the strongest first.
    for folder in reversed(jupyter_config_path()):
        for loader in (JSONFileConfigLoader, PyFileConfigLoader):
            suffix = ".json" if loader is JSONFileConfigLoader else ".py"
            try:
                config.merge(loader(FILE + suffix, path=folder).load_config())
            except ConfigFileNotFound:
                continue
            except Exception as error:
                where = os.path.join(folder, FILE + suffix)
                raise InvalidSpec(f"The configuration {where} cannot be read: {error}", "Mend that file, or move it away.") from error
    if backend := os.environ.get(BACKEND_VARIABLE, ""):
        overrides = {"backend": backend} | overrides
    try:
        return KubeRay(config=config, **overrides)
    except TraitError as error:
        raise InvalidSpec(
            f"A setting cannot be: {error}", f"Mend it in {FILE}.py or .json in one of Jupyter's configuration folders."
        ) from error


def elsewhere(settings: KubeRay, user: str) -> dict[str, Any]:
    """What of the settings holds for programs in a cluster, too, as a configuration file has it.

    Not the kubeconfig's context: a pod has an account and a namespace of its own.
    """
    from pydantic_core import to_jsonable_python  # of a file in Python, profiles may hold specs

    kept: dict[str, Any] = {"backend": settings.backend, "user": user}
    kept |= {name: value for name in ("profiles", "default_profile", "limits") if (value := getattr(settings, name))}
    if settings.backend == "local":
        kept["data_dir"] = str(local_data_dir(settings).resolve())
    return dict(to_jsonable_python(kept))


def local_data_dir(settings: KubeRay) -> Path:
    """The folder of the local substrate's state."""
    from jupyter_core.paths import jupyter_data_dir

    configured = os.environ.get("JUPYTER_KUBERAY_DATA_DIR") or settings.data_dir
    return Path(configured).expanduser() if configured else Path(jupyter_data_dir()) / "kuberay"
