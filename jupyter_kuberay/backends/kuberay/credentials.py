"""Where the API server is and as whom it is asked: a kubeconfig's context, a pod's service account, or kube-authkit.

`kubernetes.aio` reads them, runs their exec plugins, and asks OIDC providers.
Here is the choice among them, and what to do when one gives nothing.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_kuberay.errors import Forbidden, Unreachable

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_LOGIN = "Log in as for kubectl, until `kubectl get pods` works; then try again."


@dataclass(frozen=True)
class Credentials:
    """How to reach one API server as one user. ``configuration`` is `kubernetes.aio`'s, with the secrets in it."""

    configuration: Any
    namespace: str
    inside: bool  # whether this process runs in a pod of the cluster
    context: str = ""

    @property
    def host(self) -> str:
        return str(self.configuration.host)

    async def headers(self) -> dict[str, str]:
        """What lets a request in; a service account's token is read anew when it is a minute old."""
        key = await self.configuration.get_api_key_with_prefix("BearerToken")
        return {"authorization": str(key)} if key else {}


async def load(context: str = "", namespace: str = "", kubeconfig: str = "") -> Credentials:
    """Credentials as they are now; call it again when they are refused.

    Parameters
    ----------
    context
        Of the kubeconfig; default: its current one.
    namespace
        Default: the context's, the pod's, or "default".
    kubeconfig
        A path, or several with ":" between them; default: $KUBECONFIG, or ~/.kube/config.

    Raises
    ------
    Unreachable
        There is no kubeconfig, or it cannot be read, or has no such context.
    Forbidden
        It names a way to log in that gives nothing.
    """
    paths = kubeconfig or os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    if not any(Path(path).is_file() for path in paths.split(os.pathsep)):
        if not context and (_SERVICE_ACCOUNT / "token").is_file():
            return _inside(namespace)
        if not context and (found := await asyncio.to_thread(_by_authkit)) is not None:
            return Credentials(found, namespace or "default", inside=False)
        raise Unreachable(f"There is no kubeconfig at {paths}.", "Give its path in KUBECONFIG, or take this machine: --backend local.")
    return await _from_file(paths, context, namespace)


async def _from_file(paths: str, context: str, namespace: str) -> Credentials:
    from kubernetes.aio.client import Configuration
    from kubernetes.aio.config import ConfigException, load_kube_config

    configuration = type.__call__(Configuration)  # not the default one, which others may have changed
    try:
        loader = await load_kube_config(paths, context or None, configuration)
    except (ConfigException, TypeError, AttributeError, KeyError, OSError) as error:
        what = f"has no usable context {context!r}" if context else "cannot be used"
        raise Unreachable(f"The kubeconfig {paths} {what}: {error}", "See the contexts: kubectl config get-contexts.") from error
    current = loader.current_context
    inner = current.get("context") or {}
    _check_login(loader, configuration, str(current.get("name") or ""))
    return Credentials(configuration, namespace or str(inner.get("namespace") or "default"), inside=False, context=str(current.get("name")))


def _check_login(loader: Any, configuration: Any, context: str) -> None:
    """An exec plugin that fails is only logged by the library, and then nobody is logged in."""
    user = loader._user
    if user is None or configuration.api_key.get("BearerToken") or configuration.cert_file:
        return
    if "exec" in user:
        command = user["exec"]["command"]
        raise Forbidden(f"The program {command!r}, which logs you in to context {context!r}, gave no credentials.", _LOGIN)
    if "auth-provider" in user:
        raise Forbidden(f"The login of context {context!r} gave no token; it may have expired.", _LOGIN)


def _inside(namespace: str) -> Credentials:
    from kubernetes.aio.client import Configuration
    from kubernetes.aio.config import ConfigException, load_incluster_config

    configuration = type.__call__(Configuration)
    try:
        load_incluster_config(configuration)
    except ConfigException as error:
        raise Unreachable(f"This pod's service account cannot be used: {error}", "Give the pod a service account.") from error
    own = (_SERVICE_ACCOUNT / "namespace").read_text().strip()
    return Credentials(configuration, namespace or own, inside=True)


def _by_authkit() -> Any:
    """codeflare's kube-authkit where it is installed and told what to do by its environment; else None."""
    if not any(name.startswith("AUTHKIT_") or name == "OPENSHIFT_TOKEN" for name in os.environ):
        return None
    try:
        from kube_authkit import AuthConfig, get_k8s_config
        from kube_authkit.exceptions import AuthenticationError, ConfigurationError
    except ImportError:
        return None
    from kubernetes.aio.client import Configuration

    try:
        found = get_k8s_config(AuthConfig(method="auto"))
    except (AuthenticationError, ConfigurationError) as error:
        raise Forbidden(
            f"kube-authkit could not log you in: {error}", "See its documentation for what its environment must name."
        ) from error
    configuration = type.__call__(Configuration)
    for name in ("host", "ssl_ca_cert", "cert_file", "key_file", "verify_ssl"):
        setattr(configuration, name, getattr(found, name))
    # The synchronous client keeps the same token under another name.
    if token := found.get_api_key_with_prefix("authorization") or found.get_api_key_with_prefix("BearerToken"):
        configuration.api_key["BearerToken"] = token
    return configuration
