"""Where the API server keeps each kind, and what its objects are called there. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from jupyter_kuberay.observation import Kind


@dataclass(frozen=True)
class Place:
    """A kind of object in a namespace."""

    group: str  # "" is the core group
    version: str
    plural: str

    @property
    def resource(self) -> str:
        """As rights name it, such as ``rayclusters.ray.io``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str, name: str = "", *more: str) -> str:
        """Of all objects, of the one called ``name``, or of a part of that one."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [quote(part, safe="") for part in (name, *more) if part]
        return "/".join([root, "namespaces", quote(namespace, safe=""), self.plural, *parts])


PODS = Place("", "v1", "pods")
EVENTS = Place("", "v1", "events")
SECRETS = Place("", "v1", "secrets")
CONFIG_MAPS = Place("", "v1", "configmaps")

# By apiVersion and kind.
ROUTES = {
    ("networking.k8s.io/v1", "Ingress"): Place("networking.k8s.io", "v1", "ingresses"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): Place("gateway.networking.k8s.io", "v1", "httproutes"),
}

PLACES = {
    Kind.CLUSTER: Place("ray.io", "v1", "rayclusters"),
    Kind.SERVICE: Place("ray.io", "v1", "rayservices"),
    Kind.JOB: Place("ray.io", "v1", "rayjobs"),
    Kind.REVISION: Place("apps", "v1", "controllerrevisions"),
}
