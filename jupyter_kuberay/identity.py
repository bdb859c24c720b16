"""Who the user is: the same answer in a panel, a kernel and a command line.

Never the Jupyter server's display name, which is a random "Anonymous …" unless
somebody set it.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable, Mapping


def user_name(configured: str, environment: Mapping[str, str], server: Callable[[], str] = lambda: "") -> str:
    """The first that is known of: what the administrator set, JupyterHub's user, the API server's word, the system's user.

    ``server`` is called only when it comes to that.
    """
    return configured or environment.get("JUPYTERHUB_USER", "") or server() or _system_user()


def _system_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user id without a name
        return "nobody"
