"""A revision: what of a service changes often, as a value, and the strings that carry it.

Pure. A revision is code by digest, weights by URI and settings. It travels in
``serveConfigV2`` alone: the loader's arguments name the code, and weights and settings
are the ``user_config`` that running replicas take over without being replaced.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shlex
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from jupyter_kuberay.errors import InvalidSpec, NotFound
from jupyter_kuberay.manifest import LOADER_IMPORT_PATH, NAME, parse_serve_config
from jupyter_kuberay.observation import API_VERSION, Json, Kind
from jupyter_kuberay.pods import LOADER_MODULE

# Characters of base64. A try-out carries code and settings in one command, of which Linux takes 128 KiB.
INLINE_LIMIT = 96 * 1024
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first date that a zip knows


class Revision(BaseModel):
    """What was, is or will be published as a service."""

    model_config = ConfigDict(frozen=True)

    number: int = Field(description="Counts the revisions of a service, from 1.")
    app: str = Field(description="The application in the code, as 'module:attribute'.")
    code: str = Field(default="", repr=False, description="A zip in base64, or its URI; '' when the image has the application.")
    sha256: str = Field(default="", description="The digest of the zip.")
    model: str = Field(default="", description="The weights' URI.")
    settings: Json = Field(default={}, description="Further entries of user_config.")
    deployments: tuple[str, ...] = Field(default=(), description="The deployments that take user_config.")
    who: str = ""
    when: str = Field(default="", description="RFC 3339, UTC.")
    why: str = ""
    metrics: dict[str, float] = Field(default={}, description="What it was measured at, such as {'rougeL': 0.94}.")
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
        args = {key: value for key, value in self.args.items() if key != "code"}
        asked = {"args": args, "user_config": dict.fromkeys(self.deployments, self.user_config)}
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


# serveConfigV2


def application(
    revision: Revision, name: str, *, route_prefix: str = "/", main: str = "", replicas: int | None = None, gpus: float | None = None
) -> Json:
    """Serve's configuration of one application that runs ``revision``.

    ``replicas`` and ``gpus`` (of each replica) are for the deployment ``main``; default: the first that takes ``user_config``.
    """
    deployments: dict[str, Json] = {each: {"name": each, "user_config": revision.user_config} for each in revision.deployments}
    options: Json = {} if replicas is None else {"num_replicas": replicas}
    if gpus is not None:
        options["ray_actor_options"] = {"num_gpus": gpus}
    main = main or next(iter(deployments), "")
    if options and not main:
        raise InvalidSpec("replicas and gpus are a deployment's, and none is known.", "Say which in deployments=['…'].")
    if options:
        deployments[main] = {"name": main} | deployments.get(main, {}) | options
    config: Json = {"name": name, "route_prefix": route_prefix, "import_path": LOADER_IMPORT_PATH, "args": revision.args}
    return config | ({"deployments": list(deployments.values())} if deployments else {})


def written(config: Json) -> str:
    """A configuration as the text that a RayService holds. ASCII, so that every character comes back as it was."""
    plain = json.loads(json.dumps(config))  # or what occurs twice would become an alias
    return yaml.safe_dump(plain, sort_keys=False, width=2**31)


def put_in(text: str, revision: Revision, application_name: str = "", **options: Any) -> str:
    """``serveConfigV2`` with ``revision`` in place of the one that is in. All else stays as it is.

    Parameters
    ----------
    application_name
        Which application; default: the only one that the loader starts.
    options
        ``main``, ``replicas`` and ``gpus``, as in `application`; None: as they are.

    Raises
    ------
    InvalidSpec
        The text is malformed, or none of its applications is started by the loader.
    """
    config = parse_serve_config(text)
    old = _published(config, application_name)
    new = application(revision, old["name"], **{key: value for key, value in options.items() if value is not None})
    kept = {each["name"]: each for each in old.get("deployments") or []}
    deployments = [_merged(kept.pop(each["name"], {}), each) for each in new.get("deployments", [])]
    # A deployment that no longer takes user_config keeps its other options, if the code is the same.
    rest = [{key: value for key, value in each.items() if key != "user_config"} for each in kept.values()]
    if old.get("args", {}).get("sha256") == revision.sha256:
        deployments += [each for each in rest if len(each) > 1]
    merged = {**old, "args": new["args"], "deployments": deployments}
    if not deployments:
        del merged["deployments"]
    return written({**config, "applications": [merged if each is old else each for each in config["applications"]]})


def _merged(old: Json, new: Json) -> Json:
    """A deployment's options: what is new, and what was said before about the rest."""
    options = {**(old.get("ray_actor_options") or {}), **(new.get("ray_actor_options") or {})}
    return {**old, **new, **({"ray_actor_options": options} if options else {})}


def _published(config: Json, name: str = "") -> Json:
    ours = [each for each in config["applications"] if isinstance(each, dict) and each.get("import_path") == LOADER_IMPORT_PATH]
    found = [each for each in ours if not name or each.get("name") == name]
    if len(found) != 1:
        what = "was not published from here" if not ours else f"has the applications {', '.join(str(each.get('name')) for each in ours)}"
        raise InvalidSpec(f"The service {what}.", "Name one of its published applications, or publish under another name.")
    one: Json = found[0]
    return one


def read(text: str, application_name: str = "") -> Revision:
    """The revision that ``serveConfigV2`` asks for, without who, when and why, which only its record knows."""
    found = _published(parse_serve_config(text), application_name)
    args = found.get("args") or {}
    configured = [each for each in found.get("deployments") or [] if isinstance(each.get("user_config"), dict)]
    values = dict(configured[0]["user_config"]) if configured else dict(args.get("settings") or {})
    number, model = values.pop("revision", 0), values.pop("model", "")
    return Revision(
        number=number if isinstance(number, int) else 0,
        app=str(args.get("app") or ""),
        code=str(args.get("code") or ""),
        sha256=str(args.get("sha256") or ""),
        model=str(model),
        settings=values,
        deployments=tuple(each["name"] for each in configured),
        current=True,
    )


def swap(before: Json, after: Json) -> list[Json]:
    """The patch that puts one state of a RayService's spec in another's place, if nobody else has changed that meanwhile.

    Parameters
    ----------
    before, after
        The same fields of the spec: ``serveConfigV2``, and where pods change, too, ``rayClusterConfig``.
    """
    tests = [{"op": "test", "path": f"/spec/{field}", "value": value} for field, value in before.items()]
    return tests + [{"op": "replace", "path": f"/spec/{field}", "value": value} for field, value in after.items()]


# Records


def record(service: Json, revision: Revision) -> Json:
    """The ControllerRevision that keeps ``revision`` for as long as its service is there."""
    metadata = service["metadata"]
    owner = {"apiVersion": API_VERSION, "kind": str(Kind.SERVICE), "name": metadata["name"], "uid": metadata["uid"], "controller": True}
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key.startswith("jupyter-kuberay/")}
    return {
        "apiVersion": "apps/v1",
        "kind": str(Kind.REVISION),
        "metadata": {
            "name": f"{metadata['name']}-r{revision.number}",
            "labels": labels | {NAME: metadata["name"]},
            "ownerReferences": [owner],
            **({"namespace": metadata["namespace"]} if metadata.get("namespace") else {}),
        },
        "revision": revision.number,
        "data": revision.model_dump(mode="json", exclude={"current"}),
    }


def recorded(records: Sequence[Json], service: Json, text: str = "") -> list[Revision]:
    """The revisions of ``service``, in order; the one that ``text`` asks for is marked, and there even without a record."""
    uid = service["metadata"]["uid"]
    own = [each for each in records if any(owner.get("uid") == uid for owner in each["metadata"].get("ownerReferences") or [])]
    found = {revision.number: revision for revision in (Revision(**each["data"]) for each in own)}
    try:
        now = read(text or str(service["spec"].get("serveConfigV2") or ""))
    except InvalidSpec:
        now = None
    if now is not None and now.number:
        found[now.number] = found.get(now.number, now).model_copy(update={"current": True})
    return [found[number] for number in sorted(found)]


def next_number(revisions: Sequence[Revision]) -> int:
    """Of the revision after all that there were."""
    return max((revision.number for revision in revisions), default=0) + 1


def earlier(revisions: Sequence[Revision], to: int | None = None) -> Revision:
    """The revision ``to``; default: the one before the current one. `NotFound` when there is none."""
    current = next((revision.number for revision in revisions if revision.current), 0)
    there = [revision for revision in revisions if (revision.number == to if to is not None else revision.number < current)]
    if not there:
        what = "no revision before the current one" if to is None else f"no revision {to}"
        numbers = ", ".join(str(revision.number) for revision in revisions)
        raise NotFound(f"The service has {what}.", f"There are: {numbers}." if numbers else "It has no revisions at all.")
    return there[-1]
