"""What is asked for is kept as it was asked for, whoever asks. Nothing runs here: the clusters are suspended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

import pytest

from jupyter_kuberay.backends.base import DASHBOARD_PORT, Backend
from jupyter_kuberay.errors import Conflict, KubeRayError, NotFound
from jupyter_kuberay.observation import Change, ChangeType, Kind

from .resources import LABEL, cluster, condition, gone, job, revision, service, told, until

Fresh = Callable[[str], str]

pytestmark = pytest.mark.asyncio


async def test_what_was_created_can_be_seen_from_another_process_as_it_was_asked_for(backend: Backend, fresh: Fresh, make_backend):
    name = fresh("kept")
    bundle = cluster(name, workers=3, suspend=True)
    created = await backend.create(bundle)
    found = await make_backend().get(Kind.CLUSTER, name)
    assert found.spec == bundle.resource["spec"] and found.labels[LABEL] == name
    metadata = found.resource["metadata"]
    assert metadata["uid"] == created.resource["metadata"]["uid"] and metadata["creationTimestamp"].endswith("Z")
    assert metadata["generation"] == 1 and int(metadata["resourceVersion"]) > 0


async def test_a_name_that_is_taken_is_refused_and_nothing_is_changed(backend: Backend, fresh: Fresh):
    name = fresh("taken")
    before = await backend.create(cluster(name, workers=1, suspend=True))
    with pytest.raises(Conflict):
        await backend.create(cluster(name, workers=2, suspend=True))
    after = await backend.get(Kind.CLUSTER, name)
    assert after.spec == before.spec and after.resource["metadata"]["uid"] == before.resource["metadata"]["uid"]


async def test_of_creations_at_the_same_time_exactly_one_wins(backend: Backend, fresh: Fresh, make_backend):
    name = fresh("race")
    tries = [make_backend().create(cluster(name, workers=count, suspend=True)) for count in range(1, 5)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    losers = [result for result in results if isinstance(result, BaseException)]
    assert len(losers) == 3 and all(isinstance(loser, Conflict) for loser in losers), results
    (winner,) = [result for result in results if not isinstance(result, BaseException)]
    assert (await backend.get(Kind.CLUSTER, name)).spec == winner.spec


@pytest.mark.parametrize("kind", list(Kind))
async def test_what_is_not_there_is_not_found(backend: Backend, kind: Kind):
    with pytest.raises(NotFound):
        await backend.get(kind, "nobody")
    with pytest.raises(NotFound):
        await backend.delete(kind, "nobody")
    with pytest.raises(NotFound):
        await backend.patch(kind, "nobody", [{"op": "add", "path": "/metadata/labels", "value": {}}])


async def test_a_cluster_that_is_not_there_cannot_be_reached_counted_or_read(backend: Backend):
    with pytest.raises(NotFound):
        async with backend.reach("nobody", DASHBOARD_PORT):
            pass
    with pytest.raises(NotFound):
        await backend.usage("nobody")
    with pytest.raises(NotFound):
        async for _ in backend.logs("nobody"):
            pass


@pytest.mark.parametrize("name", ["a/b", "../up", "..", "Big", "under_score", "-dash", "", "a" * 80])
async def test_a_name_that_no_resource_can_have_is_refused(backend: Backend, name: str):
    with pytest.raises(KubeRayError):
        await backend.create(cluster(name, suspend=True))


async def test_a_list_is_ordered_by_name_and_chosen_by_labels(backend: Backend, fresh: Fresh):
    names = [fresh("listed") for _ in range(3)]
    for name, color in zip(names, ("red", "blue", "red"), strict=True):
        await backend.create(cluster(name, suspend=True, color=color))
    seen = [each.name for each in await backend.list(Kind.CLUSTER)]
    assert seen == sorted(seen) and set(names) <= set(seen)
    assert [each.name for each in await backend.list(Kind.CLUSTER, {"color": "red"})] == sorted([names[0], names[2]])
    assert await backend.list(Kind.CLUSTER, {"color": "red", LABEL: names[1]}) == []


async def test_a_patch_changes_what_it_names_and_nothing_else(backend: Backend, fresh: Fresh):
    name = fresh("patched")
    before = await backend.create(cluster(name, workers=1, suspend=True))
    at = "/spec/workerGroupSpecs/0"
    steps = [{"op": "test", "path": f"{at}/groupName", "value": "small"}, {"op": "replace", "path": f"{at}/replicas", "value": 5}]
    after = await backend.patch(Kind.CLUSTER, name, steps)
    assert after.spec["workerGroupSpecs"][0] == before.spec["workerGroupSpecs"][0] | {"replicas": 5}
    assert after.resource["metadata"]["generation"] == 2
    assert after.resource["metadata"]["resourceVersion"] != before.resource["metadata"]["resourceVersion"]
    assert (await backend.get(Kind.CLUSTER, name)).spec == after.spec


async def test_a_patch_whose_test_fails_changes_nothing_at_all(backend: Backend, fresh: Fresh):
    name = fresh("tested")
    before = await backend.create(cluster(name, workers=1, suspend=True))
    at = "/spec/workerGroupSpecs/0"
    steps = [{"op": "replace", "path": f"{at}/replicas", "value": 5}, {"op": "test", "path": f"{at}/groupName", "value": "large"}]
    with pytest.raises(Conflict):
        await backend.patch(Kind.CLUSTER, name, steps)
    assert (await backend.get(Kind.CLUSTER, name)).spec == before.spec


async def test_a_patch_of_what_is_not_there_is_refused(backend: Backend, fresh: Fresh):
    name = fresh("absent")
    before = await backend.create(cluster(name, suspend=True))
    with pytest.raises(KubeRayError):
        await backend.patch(Kind.CLUSTER, name, [{"op": "replace", "path": "/spec/workerGroupSpecs/7/replicas", "value": 5}])
    assert (await backend.get(Kind.CLUSTER, name)).spec == before.spec


async def test_of_two_changes_that_test_the_same_value_exactly_one_is_made(backend: Backend, fresh: Fresh, make_backend):
    name = fresh("contended")
    await backend.create(cluster(name, workers=0, suspend=True))
    at = "/spec/workerGroupSpecs/0/replicas"

    def change(count: int):
        steps = [{"op": "test", "path": at, "value": 0}, {"op": "replace", "path": at, "value": count}]
        return make_backend().patch(Kind.CLUSTER, name, steps)

    results = await asyncio.gather(*(change(count) for count in range(1, 6)), return_exceptions=True)
    assert sum(isinstance(result, Conflict) for result in results) == 4, results


async def test_labels_change_without_a_new_generation(backend: Backend, fresh: Fresh):
    name = fresh("labelled")
    await backend.create(cluster(name, suspend=True))
    after = await backend.patch(Kind.CLUSTER, name, [{"op": "add", "path": "/metadata/labels/color", "value": "red"}])
    assert after.labels["color"] == "red" and after.resource["metadata"]["generation"] == 1


async def test_a_watch_begins_with_what_exists_and_says_when_that_is_told(backend: Backend, fresh: Fresh):
    names = [fresh("seen") for _ in range(2)]
    for name in names:
        await backend.create(cluster(name, suspend=True, group=names[0]))
    changes = await told(backend, Kind.CLUSTER, {"group": names[0]})
    assert [change.type for change in changes] == [ChangeType.ADDED, ChangeType.ADDED, ChangeType.SYNCED]
    assert {change.seen.name for change in changes[:2] if change.seen} == set(names)


async def test_a_watch_tells_of_creation_change_and_deletion_by_others(backend: Backend, fresh: Fresh, make_backend):
    name, other = fresh("watched"), make_backend()
    tellings: list[Change] = []
    synced, done = asyncio.Event(), asyncio.Event()

    async def look() -> None:
        async with aclosing(backend.watch(Kind.CLUSTER, {LABEL: name})) as changes:  # type: ignore[type-var]
            async for change in changes:
                tellings.append(change)
                synced.set()
                if change.type is ChangeType.DELETED:
                    done.set()
                    return

    watching = asyncio.create_task(look())
    async with asyncio.timeout(30):
        await synced.wait()
    await other.create(cluster(name, suspend=True))
    await other.patch(Kind.CLUSTER, name, [{"op": "add", "path": "/metadata/labels/color", "value": "red"}])
    await until(other, Kind.CLUSTER, name, lambda seen: seen.labels.get("color") == "red")
    await other.delete(Kind.CLUSTER, name)
    async with asyncio.timeout(30):
        await watching
    types = [change.type for change in tellings]
    assert types[:2] == [ChangeType.SYNCED, ChangeType.ADDED] and types[-1] is ChangeType.DELETED
    assert tellings[-1].seen is not None and tellings[-1].seen.labels["color"] == "red"


async def test_what_no_longer_matches_a_watch_is_told_as_deleted(backend: Backend, fresh: Fresh):
    name = fresh("leaving")
    await backend.create(cluster(name, suspend=True, color=name))
    async with asyncio.timeout(30), aclosing(backend.watch(Kind.CLUSTER, {"color": name})) as changes:  # type: ignore[type-var]
        async for change in changes:
            if change.type is ChangeType.SYNCED:
                await backend.patch(Kind.CLUSTER, name, [{"op": "replace", "path": "/metadata/labels/color", "value": "gone"}])
            if change.type is ChangeType.DELETED:
                break
    assert (await backend.get(Kind.CLUSTER, name)).labels["color"] == "gone"


async def test_a_name_is_free_again_once_its_end_was_told(backend: Backend, fresh: Fresh):
    name = fresh("again")
    first = await backend.create(cluster(name, suspend=True))
    await gone(backend, Kind.CLUSTER, name)
    with pytest.raises(NotFound):
        await backend.get(Kind.CLUSTER, name)
    second = await backend.create(cluster(name, suspend=True))
    assert second.resource["metadata"]["uid"] != first.resource["metadata"]["uid"]


async def test_a_suspended_cluster_says_so_and_runs_nothing(backend: Backend, fresh: Fresh):
    name = fresh("asleep")
    await backend.create(cluster(name, workers=2, suspend=True))
    seen = await until(backend, Kind.CLUSTER, name, lambda seen: condition(seen, "RayClusterSuspended")["status"] == "True")
    assert seen.nodes == () and seen.status["state"] == "suspended"


async def test_a_job_that_names_no_cluster_says_so(backend: Backend, fresh: Fresh):
    name = fresh("lonely")
    await backend.create(job(name, "true", "nobody"))
    seen = await until(backend, Kind.JOB, name, lambda seen: bool(seen.events))
    assert seen.events[0].reason == "RayClusterNotFound" and "nobody" in seen.events[0].message


async def test_a_revision_keeps_its_data_for_ever_and_goes_with_its_service(backend: Backend, fresh: Fresh):
    name = fresh("revised")
    owner = await backend.create(service(name, suspend=True))
    data = {"model": "file:///weights", "metrics": {"rouge-l": 0.93}, "words": ["ä", None, True]}
    await backend.create(revision(f"{name}-1", owner, data))
    assert (await backend.get(Kind.REVISION, f"{name}-1")).resource["data"] == data
    with pytest.raises(KubeRayError):
        await backend.patch(Kind.REVISION, f"{name}-1", [{"op": "replace", "path": "/data/model", "value": "other"}])
    await gone(backend, Kind.SERVICE, name)
    with pytest.raises(NotFound):
        await backend.get(Kind.REVISION, f"{name}-1")
