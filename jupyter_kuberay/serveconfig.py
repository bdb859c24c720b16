"""``serveConfigV2`` as text: the applications in it that were published from here, put in, read, and taken out. Pure.

All that changes of a service without another cluster is in it. What another tool or a person wrote into it stays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from jupyter_kuberay import scaling as scales
from jupyter_kuberay.errors import Conflict, InvalidSpec, NotFound
from jupyter_kuberay.manifest import LOADER_IMPORT_PATH, parse_serve_config
from jupyter_kuberay.observation import Json
from jupyter_kuberay.revision import Revision
from jupyter_kuberay.scaling import Scaling

_NAME = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")
_LONGEST_NAME = 47
_ROUTE = re.compile(r"/|(?:/[^/?#{}\s]+)+")


@dataclass(frozen=True)
class Placed:
    """An application of a service: its name, and where it answers."""

    name: str
    route_prefix: str
    ours: bool  # published from here


def application(
    revision: Revision, name: str, *, route_prefix: str = "/", main: str = "", scaling: Scaling | None = None, before: Sequence[Json] = ()
) -> Json:
    """Serve's configuration of one application that runs ``revision``.

    Parameters
    ----------
    main
        The deployment that ``scaling`` is for; default: the first that takes ``user_config``.
    before
        The options of its deployments until now.
    """
    scaling = scaling or Scaling()
    earlier = {str(each.get("name")): each for each in before}
    deployments: dict[str, Json] = {each: {"name": each, "user_config": revision.user_config} for each in revision.deployments}
    main = main or next(iter(deployments), "")
    if scaling.given and not main:
        raise InvalidSpec("replicas and gpus are a deployment's, and none is known.", "Say which in deployments=['…'].")
    if scaling.given:
        deployments.setdefault(main, {"name": main})
    found = [
        {"name": each} | scales.options(scaling if each == main else Scaling(), earlier.get(each) or {}) | new
        for each, new in deployments.items()
    ]
    config: Json = {"name": name, "route_prefix": route_prefix, "import_path": LOADER_IMPORT_PATH, "args": revision.args}
    return config | ({"deployments": found} if found else {})


def written(config: Json) -> str:
    """A configuration as the text that a RayService holds. ASCII, so that every character comes back as it was."""
    plain = json.loads(json.dumps(config))  # or what occurs twice would become an alias
    return yaml.safe_dump(plain, sort_keys=False, width=2**31)


def put_in(text: str, revision: Revision, application_name: str = "", *, main: str = "", scaling: Scaling | None = None) -> str:
    """``serveConfigV2`` with ``revision`` in place of the one that is in. All else stays as it is.

    Parameters
    ----------
    application_name
        Which application; default: the only one that the loader starts.
    main, scaling
        As in `application`; None: as they are.

    Raises
    ------
    InvalidSpec
        The text is malformed, or none of its applications is started by the loader.
    """
    config = parse_serve_config(text)
    old = published(config, application_name)
    before = old.get("deployments") or []
    new = application(revision, old["name"], main=main, scaling=scaling, before=before)
    deployments = list(new.get("deployments", []))
    if (old.get("args") or {}).get("sha256") == revision.sha256:
        # A deployment that no longer takes user_config keeps its other options.
        named = {each["name"] for each in deployments}
        rest = [{key: value for key, value in each.items() if key != "user_config"} for each in before if each.get("name") not in named]
        deployments += [each for each in rest if len(each) > 1]
    merged = {**old, "args": new["args"], "deployments": deployments}
    if not deployments:
        del merged["deployments"]
    return written({**config, "applications": [merged if each is old else each for each in config["applications"]]})


def added(text: str, entry: Json) -> str:
    """``serveConfigV2`` with one more application, ``entry``, beside those that are there.

    Raises
    ------
    Conflict
        One of them has its name, or answers at its route prefix.
    """
    config = parse_serve_config(text)
    for each in applications(text):
        if each.name == entry["name"]:
            raise Conflict(f"There is an application {each.name!r} already, which was not published from here.", "Choose another name.")
        if each.route_prefix == entry["route_prefix"]:
            raise Conflict(
                f"Application {each.name!r} answers at {each.route_prefix!r} already, where {entry['name']!r} is to answer.",
                f"Give another route prefix, such as '/{entry['name']}'.",
            )
    return written({**config, "applications": [*config["applications"], entry]})


def taken_out(text: str, application_name: str) -> str:
    """``serveConfigV2`` without one of its applications, or `NotFound` with those that there are."""
    config = parse_serve_config(text)
    kept = [each for each in config["applications"] if not (isinstance(each, dict) and each.get("name", "default") == application_name)]
    if len(kept) == len(config["applications"]):
        raise missing(text, application_name)
    return written({**config, "applications": kept})


def missing(text: str, application_name: str) -> NotFound:
    """The error for an application that a service does not have."""
    names = ", ".join(each.name for each in applications(text))
    return NotFound(f"The service has no application {application_name!r}.", f"There are: {names}." if names else "It has none at all.")


def applications(text: str) -> list[Placed]:
    """Those that ``serveConfigV2`` has, in order."""
    found = [each for each in parse_serve_config(text)["applications"] if isinstance(each, dict)]
    return [
        Placed(str(each.get("name") or "default"), str(each.get("route_prefix") or "/"), each.get("import_path") == LOADER_IMPORT_PATH)
        for each in found
    ]


def chosen(text: str, service: str, application_name: str = "") -> str:
    """Which application is meant where none is named: the one that is called like its service, or else the only one from here.

    Raises
    ------
    NotFound
        There is none of that name.
    InvalidSpec
        None is named, and there are several, or none was published from here.
    """
    there = applications(text)
    if application_name:
        if not any(each.name == application_name and each.ours for each in there):
            raise missing(text, application_name)
        return application_name
    if any(each.name == service and each.ours for each in there):
        return service
    return str(published(parse_serve_config(text))["name"])


def checked_place(name: str, route_prefix: str) -> None:
    """Raise `InvalidSpec` when an application cannot have that name, or answer at that route prefix."""
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        raise InvalidSpec(
            f"application {name!r} is no name for one.",
            f"Take up to {_LONGEST_NAME} lower-case letters and digits, with '-' or '_' between them, such as 'classifier'.",
        )
    if not _ROUTE.fullmatch(route_prefix):
        raise InvalidSpec(f"route_prefix {route_prefix!r} is none.", "Begin it with '/' and do not end it so, such as '/classify'; or '/'.")


def published(config: Json, name: str = "") -> Json:
    """The entry of an application that was published from here; default: of the only one."""
    ours = [each for each in config["applications"] if isinstance(each, dict) and each.get("import_path") == LOADER_IMPORT_PATH]
    found = [each for each in ours if not name or each.get("name") == name]
    if len(found) != 1:
        what = "was not published from here" if not ours else f"has the applications {', '.join(str(each.get('name')) for each in ours)}"
        raise InvalidSpec(f"The service {what}.", "Name one of its published applications, or publish under another name.")
    one: Json = found[0]
    return one


def read(text: str, application_name: str = "") -> Revision:
    """The revision that ``serveConfigV2`` asks for, without who, when and why, which only its record knows."""
    found = published(parse_serve_config(text), application_name)
    args = found.get("args") or {}
    listed = [each for each in found.get("deployments") or [] if isinstance(each, dict)]
    configured = [each for each in listed if isinstance(each.get("user_config"), dict)]
    values = dict(configured[0]["user_config"]) if configured else dict(args.get("settings") or {})
    number, model = values.pop("revision", 0), values.pop("model", "")
    return Revision(
        number=number if isinstance(number, int) else 0,
        application=str(found.get("name") or ""),
        app=str(args.get("app") or ""),
        code=str(args.get("code") or ""),
        sha256=str(args.get("sha256") or ""),
        model=str(model),
        settings=values,
        deployments=tuple(each["name"] for each in configured),
        scaling=scales.read((configured or listed or [{}])[0]),
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
