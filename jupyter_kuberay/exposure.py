"""How a service is reached from outside its cluster: an Ingress, or an HTTPRoute of the Gateway API. Pure.

Source: networking.k8s.io/v1 and gateway.networking.k8s.io/v1.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from jupyter_kuberay.fields import Json, LabelKey, Spec, matching
from jupyter_kuberay.names import object_name

_HOST = re.compile(r"(?:[a-z0-9-]|\{name\}|\{user\})+(?:\.(?:[a-z0-9-]|\{name\}|\{user\})+)+")
_GATEWAY = re.compile(r"([a-z0-9][-a-z0-9.]*/)?[a-z0-9][-a-z0-9.]*")
_MAX_LABEL = 63  # of a host's name, between two dots


class Exposure(Spec):
    """One address for each service, at a host of its own."""

    kind: Literal["Ingress", "HTTPRoute"] = "Ingress"
    host: Annotated[str, matching(_HOST, "a host, in which {name} and {user} may stand, such as '{name}-{user}.models.example.org'")]
    scheme: Literal["https", "http"] = Field(default="https", description="How its address begins.")
    ingress_class: str = Field(default="", description="An Ingress's class; default: the cluster's.")
    tls_secret: Annotated[str, Field(max_length=253)] = Field(
        default="", description="An Ingress's certificate; default: the controller's own."
    )
    gateway: Annotated[str, matching(re.compile(rf"({_GATEWAY.pattern})?"), "a Gateway, such as 'public' or 'gateways/public'")] = ""
    annotations: dict[LabelKey, str] = Field(default={}, description="For the controller, such as limits of size and time.")

    @model_validator(mode="after")
    def _says_what_its_kind_needs(self) -> Self:
        if "{name}" not in self.host:
            raise ValueError(f"host {self.host!r} is the same for all services; let {{name}} stand in it, such as '{{name}}.{self.host}'")
        if self.kind == "HTTPRoute" and not self.gateway:
            raise ValueError("an HTTPRoute belongs to a Gateway; say which in gateway, such as 'gateways/public'")
        if self.kind == "Ingress" and self.gateway:
            raise ValueError(f"gateway {self.gateway!r} is for an HTTPRoute; leave it out, or say kind='HTTPRoute'")
        if self.kind == "HTTPRoute" and (self.tls_secret or self.ingress_class):
            raise ValueError("tls_secret and ingress_class are an Ingress's; a Gateway has its own certificates")
        return self

    def host_of(self, name: str, user: str) -> str:
        """The host of service ``name``, valid whatever the user is called."""
        labels = self.host.replace("{user}", object_name(user or "x", max_length=40)).replace("{name}", name).split(".")
        return ".".join(label if len(label) <= _MAX_LABEL else object_name(label, max_length=_MAX_LABEL) for label in labels)

    def url(self, name: str, user: str) -> str:
        """The service's address, without a path."""
        return f"{self.scheme}://{self.host_of(name, user)}"

    def route(self, name: str, user: str, backend: str, port: int, labels: dict[str, str]) -> Json:
        """The Ingress or HTTPRoute that leads from the address to ``port`` of the Kubernetes Service ``backend``."""
        metadata: Json = {"name": name, "labels": labels} | ({"annotations": self.annotations} if self.annotations else {})
        host = self.host_of(name, user)
        if self.kind == "HTTPRoute":
            namespace, _, gateway = self.gateway.rpartition("/")
            spec: Json = {
                "parentRefs": [{"name": gateway} | ({"namespace": namespace} if namespace else {})],
                "hostnames": [host],
                "rules": [{"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": [{"name": backend, "port": port}]}],
            }
            return {"apiVersion": "gateway.networking.k8s.io/v1", "kind": self.kind, "metadata": metadata, "spec": spec}
        to = {"service": {"name": backend, "port": {"number": port}}}
        spec = {"rules": [{"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": to}]}}]}
        if self.ingress_class:
            spec["ingressClassName"] = self.ingress_class
        if self.tls_secret:
            spec["tls"] = [{"hosts": [host], "secretName": self.tls_secret}]
        return {"apiVersion": "networking.k8s.io/v1", "kind": self.kind, "metadata": metadata, "spec": spec}
