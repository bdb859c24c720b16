"""A revision: what of an application changes often, as a value, and its code as a string.

Pure. A revision is code by digest, weights by URI and settings. It travels in
``serveConfigV2`` alone (`jupyter_kuberay.serveconfig`): the loader's arguments name the code, and weights and settings
are the ``user_config`` that running replicas take over without being replaced.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shlex
import zipfile
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from jupyter_kuberay.observation import Json
from jupyter_kuberay.pods import LOADER_MODULE
from jupyter_kuberay.scaling import Scaling

# Characters of base64. A try-out carries code and settings in one command, of which Linux takes 128 KiB.
INLINE_LIMIT = 96 * 1024
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first date that a zip knows


class Again(BaseModel):
    """That an earlier revision was put in again."""

    model_config = ConfigDict(frozen=True)

    who: str = ""
    when: str = Field(default="", description="RFC 3339, UTC.")
    why: str = ""
    instead_of: int = Field(default=0, description="The revision that was in until then; 0: that is not known.")


class Revision(BaseModel):
    """What was, is or will be published as an application of a service."""

    model_config = ConfigDict(frozen=True)

    number: int = Field(description="Counts the revisions of an application, from 1.")
    application: str = Field(default="", description="Of the service; '': the one that is called like it.")
    app: str = Field(description="The application in the code, as 'module:attribute'.")
    code: str = Field(default="", repr=False, description="A zip in base64, or its URI; '' when the image has the application.")
    sha256: str = Field(default="", description="The digest of the zip.")
    model: str = Field(default="", description="The weights' URI.")
    model_version: str = Field(default="", description="The registry's name of them, such as 'models:/summarizer/3'.")
    settings: Json = Field(default={}, description="Further entries of user_config.")
    deployments: tuple[str, ...] = Field(default=(), description="The deployments that take user_config.")
    scaling: Scaling = Field(default=Scaling(), description="Of the first of these, when it was put in; going back leaves it as it is.")
    who: str = ""
    when: str = Field(default="", description="RFC 3339, UTC.")
    why: str = ""
    metrics: dict[str, float] = Field(default={}, description="What it was measured at, such as {'rougeL': 0.94}.")
    failed_gates: tuple[str, ...] = Field(default=(), description="Gates that it failed, and was published despite.")
    again: tuple[Again, ...] = Field(default=(), description="When it was put in again, the oldest first.")
    current: bool = Field(default=False, description="Whether the service is asked to run this one.")

    @property
    def user_config(self) -> Json:
        """What `reconfigure` of its deployments is called with."""
        return ({"model": self.model} if self.model else {}) | self.settings | {"revision": self.number}

    @property
    def args(self) -> Json:
        """What the loader is called with."""
        args: Json = {"code": self.code, "sha256": self.sha256, "app": self.app}
        if not self.deployments:
            # Nothing takes over a change, so the application is built anew with it.
            args["settings"] = self.user_config
        return args

    @property
    def try_out(self) -> str:
        """The command that tries it out on a cluster."""
        return self.try_out_beside("")

    def try_out_beside(self, application: str) -> str:
        """The same; then the replicas of ``application``, which have this code, load what they will only have to take over."""
        args = {key: value for key, value in self.args.items() if key != "code"}
        asked: Json = {"args": args, "user_config": dict.fromkeys(self.deployments, self.user_config)}
        if application:
            asked["beside"] = application
        text = base64.b64encode(json.dumps(asked, separators=(",", ":")).encode()).decode()
        return f"python -m {LOADER_MODULE} try {text} {shlex.quote(self.code)}"


# Code


def zipped(files: Mapping[str, bytes]) -> bytes:
    """The same zip for the same files, whenever and wherever it is made."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(files):
            info = zipfile.ZipInfo(path, _EPOCH)
            info.external_attr = 0o644 << 16
            info.create_system = 3  # whatever system this is
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, files[path])
    return buffer.getvalue()


def digest(content: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def inline(content: bytes) -> str | None:
    """A zip as the text that a service's configuration can hold; None when it is too large for that."""
    text = base64.b64encode(content).decode()
    return text if len(text) <= INLINE_LIMIT else None
