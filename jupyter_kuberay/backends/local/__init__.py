"""The local substrate: Ray processes on this machine, kept by one supervisor process a root resource."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jupyter_kuberay.backends.local.backend import LocalBackend

__all__ = ["LocalBackend"]


def __getattr__(name: str) -> Any:
    # The supervisor is below this package and must not wait for pydantic.
    if name == "LocalBackend":
        from jupyter_kuberay.backends.local.backend import LocalBackend

        return LocalBackend
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
