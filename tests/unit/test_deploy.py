"""What administrators are given: roles with what is needed and no more, and the image's list of packages."""

from __future__ import annotations

import contextlib
import re
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from jupyter_kuberay.backends.kuberay import rights

ROOT = Path(__file__).parents[2]


def written(*documents: Any) -> list[Any]:
    return [document for each in documents for document in yaml.safe_load_all((ROOT / "deploy" / each).read_text())]


def single(rules: list[Any]) -> list[tuple[str, str, str]]:
    return sorted(
        (group, resource, verb) for one in rules for group in one["apiGroups"] for resource in one["resources"] for verb in one["verbs"]
    )


def test_the_role_for_users_gives_exactly_what_is_needed():
    (role,) = written("role.yaml")
    assert single(role["rules"]) == sorted((right.group, right.resource, verb) for right in rights.NEEDED for verb in right.verbs)
    assert role["metadata"]["name"] == rights.ROLE
    assert not [one for one in role["rules"] if one.get("resourceNames")]


def test_the_role_for_exposing_gives_what_doctor_asks_for():
    (role,) = written("role-exposure.yaml")
    asked = set(rights.needed_with(["Ingress", "HTTPRoute"])) - set(rights.NEEDED)
    assert single(role["rules"]) == sorted((right.group, right.resource, verb) for right in asked for verb in right.verbs)


def test_no_role_that_is_shipped_has_a_wildcard_or_can_change_what_is_not_the_users():
    given = [one for role in written("role.yaml", "clusterrole-doctor.yaml") for one in single(role["rules"])]
    assert [one for one in given if "*" in "".join(one)] == []
    writing = {(group, resource) for group, resource, verb in given if verb not in ("get", "list", "watch")}
    kinds = {("ray.io", "rayclusters"), ("ray.io", "rayservices"), ("ray.io", "rayjobs"), ("apps", "controllerrevisions")}
    assert writing == {*kinds, ("", "configmaps"), ("", "pods/portforward")}


# --- the image -----------------------------------------------------------


def packages(lines: Iterable[str]) -> set[str]:
    named = (line for line in lines if line.strip() and not line.startswith("#"))
    return {re.split(r"[\[<>=~! ;]", line)[0].lower().replace("_", "-") for line in named}


def test_the_image_brings_what_the_lifecycle_needs_and_what_runs_notebooks_and_reads_s3():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    brought = packages((ROOT / "deploy/image/requirements.txt").read_text().splitlines())
    wanted = packages(extras["lifecycle"]) | packages(extras["reinforcement"])
    assert brought == wanted | {"ipykernel", "nbconvert", "papermill", "s3fs"}
    # What s3fs stands on and what the Kubernetes client does exclude each other, so it is in no kernel's constraints.
    assert brought - {"s3fs"} <= packages((ROOT / "constraints.txt").read_text().splitlines())


def _needed(package: str) -> set[str]:
    """What a package that is installed here declares to need, by the names of the index, but for its extras'."""
    found = (Requirement(each) for each in requires(package) or [])
    return {canonicalize_name(each.name) for each in found if each.marker is None or each.marker.evaluate({"extra": ""})}


def test_what_is_installed_as_it_stands_is_all_that_the_kubernetes_client_needs():
    stands = packages((ROOT / "deploy/image/publishing.txt").read_text().splitlines())
    brought = packages((ROOT / "deploy/image/requirements.txt").read_text().splitlines()) | {"ray"}
    reached: set[str] = set()
    while new := brought - reached:
        reached |= new
        for package in new:
            with contextlib.suppress(PackageNotFoundError):  # of the image alone, such as s3fs
                brought = brought | _needed(package)
    for package in stands:
        assert _needed(package) <= reached | stands | {"aiohttp"}, package  # that is ray[default]'s, which Ray's own image has
    assert stands <= packages((ROOT / "constraints.txt").read_text().splitlines())


def test_the_image_has_the_ray_of_the_constraints_and_runs_as_a_plain_user():
    steps = (ROOT / "deploy/image/Containerfile").read_text().splitlines()
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    assert f"ARG RAY={pins['ray']}" in steps
    users = [step.split()[1] for step in steps if step.startswith("USER")]
    assert users and users[-1].partition(":")[0].isdigit() and users[-1].partition(":")[0] != "0"
