"""Who may do what: a user with the Role, one without, and one whose token stopped counting."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import pytest
import yaml

from jupyter_kuberay.backends.kuberay import KubeRayBackend
from jupyter_kuberay.errors import Conflict, Forbidden, KubeRayError, Refused
from jupyter_kuberay.observation import ChangeType, Kind
from tests.contract.resources import cluster, gone, revision, service, told

from .conftest import MakeNamespace
from .people import Person

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(300)]

RULES = yaml.safe_load((Path(__file__).parents[2] / "deploy" / "role.yaml").read_text())["rules"]


def at(person: Person, namespace: str) -> KubeRayBackend:
    return KubeRayBackend(namespace=namespace, kubeconfig=str(person.kubeconfig))


def without(verb: str, resource: str) -> list[dict[str, list[str]]]:
    return [rule | {"verbs": [each for each in rule["verbs"] if each != verb]} if resource in rule["resources"] else rule for rule in RULES]


async def until_refused(attempt: Callable[[], Awaitable[object]], seconds: float = 60) -> KubeRayError:
    """Try until it is refused, and give the refusal."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                await attempt()
            except KubeRayError as error:
                return error
            await asyncio.sleep(0.5)


async def test_a_neighbour_neither_sees_nor_touches_what_is_in_somebody_elses_namespace(
    alice: Person, bob: Person, make_namespace: MakeNamespace
):
    hers = make_namespace(alice, RULES)
    make_namespace(bob, RULES)
    owner, neighbour = at(alice, hers), at(bob, hers)
    await owner.create(cluster("one", suspend=True))
    for attempt in (
        neighbour.list(Kind.CLUSTER),
        neighbour.get(Kind.CLUSTER, "one"),
        neighbour.create(cluster("two", suspend=True)),
        neighbour.patch(Kind.CLUSTER, "one", [{"op": "add", "path": "/spec/suspend", "value": False}]),
        neighbour.delete(Kind.CLUSTER, "one"),
        told(neighbour, Kind.CLUSTER),
    ):
        with pytest.raises(Forbidden, match=r"may not \w+ .*in namespace"):
            await attempt
    assert [seen.name for seen in await owner.list(Kind.CLUSTER)] == ["one"]
    await owner.close()
    await neighbour.close()


async def test_a_right_that_lacks_is_named_with_the_rule_that_would_grant_it(alice: Person, make_namespace: MakeNamespace):
    namespace = make_namespace(alice, without("create", "rayclusters"))
    backend = at(alice, namespace)
    with pytest.raises(Forbidden) as caught:
        await backend.create(cluster("one", suspend=True))
    assert f"may not create rayclusters.ray.io in namespace {namespace!r}" in caught.value.message
    assert '{apiGroups: ["ray.io"], resources: ["rayclusters"], verbs: ["create"]}' in caught.value.hint
    assert await backend.list(Kind.CLUSTER) == []
    await backend.close()


async def test_a_token_that_stops_counting_midway_is_told_and_a_new_login_is_found_by_itself(
    admin: Person, make_namespace: MakeNamespace, tmp_path: Path
):
    namespace = make_namespace()
    kubeconfig = tmp_path / "kubeconfig"

    def login(name: str) -> None:
        admin.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}})
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "user"}
        subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
        metadata = {"name": name, "namespace": namespace}
        api = "rbac.authorization.k8s.io/v1"
        admin.create({"apiVersion": api, "kind": "RoleBinding", "metadata": metadata, "roleRef": reference, "subjects": [subject]})
        token = admin.kubectl("create", "token", name, f"--namespace={namespace}").strip()
        config = json.loads(admin.kubectl("config", "view", "--raw", "--flatten", "--output=json"))
        config["users"] = [{"name": each["name"], "user": {"token": token}} for each in config["users"]]
        kubeconfig.write_text(json.dumps(config))

    role = {"kind": "Role", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "user", "namespace": namespace}}
    admin.create({**role, "rules": RULES})
    login("first")
    backend = KubeRayBackend(namespace=namespace, kubeconfig=str(kubeconfig))
    await backend.create(cluster("one", suspend=True))
    async with asyncio.timeout(120), aclosing(backend.watch(Kind.CLUSTER)) as changes:  # type: ignore[type-var]
        async for change in changes:
            if change.type is ChangeType.SYNCED:
                break
        admin.kubectl("delete", "serviceaccount", "first", f"--namespace={namespace}")
        refused = await until_refused(lambda: backend.get(Kind.CLUSTER, "one"))  # the API server remembers a while who was let in
        assert "does not accept who you are" in refused.message and "Log in again" in refused.hint
        login("second")
        await backend.patch(Kind.CLUSTER, "one", [{"op": "add", "path": "/metadata/labels/color", "value": "red"}])
        async for change in changes:
            if change.seen and change.seen.labels.get("color") == "red":
                break
    await backend.close()


async def test_a_quota_that_is_reached_is_told_in_its_own_words(alice: Person, admin: Person, make_namespace: MakeNamespace):
    namespace = make_namespace(alice, RULES)
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few", "namespace": namespace}}
    admin.create({**quota, "spec": {"hard": {"count/rayclusters.ray.io": "1"}}})
    backend = at(alice, namespace)
    numbers = iter(range(100))
    refused = await until_refused(lambda: backend.create(cluster(f"one-{next(numbers)}", suspend=True)))  # quotas count with a delay
    assert isinstance(refused, Refused) and "larger quota" in refused.hint
    assert "quota does not allow it: exceeded quota: few" in refused.message and "count/rayclusters.ray.io=1" in refused.message
    await backend.close()


async def test_what_somebody_changed_between_our_look_and_our_write_survives(alice: Person, admin: Person, make_namespace: MakeNamespace):
    backend = at(alice, make_namespace(alice, RULES))
    namespace = await backend.api.namespace()
    before = await backend.create(cluster("one", workers=1, suspend=True))
    replicas = "/spec/workerGroupSpecs/0/replicas"
    by_hand = [{"op": "replace", "path": replicas, "value": 3}, {"op": "add", "path": "/metadata/labels/by", "value": "hand"}]
    admin.kubectl("patch", "raycluster", "one", f"--namespace={namespace}", "--type=json", f"--patch={json.dumps(by_hand)}")
    ours = [{"op": "test", "path": replicas, "value": before.spec["workerGroupSpecs"][0]["replicas"]}]
    with pytest.raises(Conflict):
        await backend.patch(Kind.CLUSTER, "one", [*ours, {"op": "replace", "path": replicas, "value": 2}])
    after = await backend.patch(Kind.CLUSTER, "one", [{"op": "add", "path": "/metadata/labels/by-us", "value": "too"}])
    assert after.spec["workerGroupSpecs"][0]["replicas"] == 3 and after.labels["by"] == "hand"
    await backend.close()


async def test_revisions_and_the_loader_need_no_more_than_the_role(alice: Person, make_namespace: MakeNamespace):
    backend = at(alice, make_namespace(alice, RULES))
    for _ in range(2):  # the ConfigMap is there the second time
        owner = await backend.create(service("one", suspend=True))
        await backend.create(revision("one-1", owner, {"number": 1}))
        await gone(backend, Kind.SERVICE, "one")
    await backend.close()
