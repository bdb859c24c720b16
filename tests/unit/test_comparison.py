"""What a service that is there is to become, and what is refused with which words."""

from __future__ import annotations

import pytest

from jupyter_kuberay.comparison import change_of_service, needs
from jupyter_kuberay.errors import Conflict
from jupyter_kuberay.exposure import Exposure
from jupyter_kuberay.manifest import read_service, service_bundle, service_pods
from jupyter_kuberay.observation import Kind, Observation
from jupyter_kuberay.spec import Application, ClusterSpec, Code, HeadSpec, SecretKey, ServiceSpec, WorkerGroup

CLUSTER = ClusterSpec(
    name="tiny",
    user="ada",
    profile="gpu",
    ray_version="2.58.0",
    image="example.org/ray:1",
    head=HeadSpec(cpu="1", memory="2Gi"),
    worker_groups=(WorkerGroup(name="gpu", replicas=2, gpus=1),),
)
TOKEN = SecretKey(secret="callers", key="token")
OUTSIDE = Exposure(host="{name}.models.example.org")
NOTHING = (None, None, [])


def there(bearer: SecretKey | None = None, exposure: Exposure | None = None) -> Observation:
    application = Application(name="tiny", import_path="tiny:app", code=Code(source="UEs=", sha256="0" * 64))
    resource = service_bundle(ServiceSpec(name="tiny", cluster=CLUSTER, applications=(application,), bearer=bearer), exposure).resource
    status = {"activeServiceStatus": {"rayClusterName": "tiny-abcde"}}
    return Observation(kind=Kind.SERVICE, name="tiny", resource={**resource, "status": status})


def change(observation, cluster=None, exposure=None, bearer=None, defaults=(), new_cluster=False, on_kubernetes=True):
    return change_of_service(
        observation, cluster, exposure, bearer, defaults=defaults, new_cluster=new_cluster, on_kubernetes=on_kubernetes
    )


def test_what_is_asked_for_and_there_already_changes_nothing():
    exposed = there(TOKEN, OUTSIDE)
    assert change(exposed, CLUSTER, OUTSIDE, TOKEN) == NOTHING
    assert change(exposed) == NOTHING
    # Whose it is, and how long it may idle, its pods do not know.
    assert change(exposed, CLUSTER.changed(name="other", user="bob", profile="small", idle_timeout=60)) == NOTHING


def test_another_image_is_refused_with_what_the_second_cluster_costs():
    with pytest.raises(Conflict) as caught:
        change(there(), CLUSTER.changed(image="example.org/ray:2"))
    assert "image is 'example.org/ray:1', not 'example.org/ray:2'" in caught.value.message
    assert "needs 3 pods and 2 GPUs more until it has taken over" in caught.value.message
    assert "--new-cluster" in caught.value.hint


def test_where_it_is_allowed_it_moves_and_keeps_its_callers_token():
    wanted = CLUSTER.changed(image="example.org/ray:2")
    goal, token, (words,) = change(there(TOKEN), wanted, new_cluster=True)
    assert (goal, token) == (wanted, TOKEN)
    assert "3 pods and 2 GPUs" in words
    moved = there(TOKEN).resource["spec"] | {"rayClusterConfig": service_pods(goal, token)}
    again = read_service({**there(TOKEN).resource, "spec": moved})
    assert (again.cluster.image, again.bearer) == ("example.org/ray:2", TOKEN)


def test_a_token_for_callers_is_in_the_pods_and_needs_other_ones():
    with pytest.raises(Conflict, match=r"bearer is 'none', not 'callers/token'.*a second cluster"):
        change(there(), bearer=TOKEN)
    goal, token, _ = change(there(), bearer=TOKEN, new_cluster=True)
    assert (goal, token) == (CLUSTER.changed(name="tiny"), TOKEN)


def test_a_number_of_workers_is_the_clusters_to_scale():
    more = CLUSTER.changed(worker_groups=(WorkerGroup(name="gpu", replicas=3, gpus=1),))
    with pytest.raises(Conflict, match="replicas is 2, not 3") as caught:
        change(there(), more, new_cluster=True)
    assert "jupyter kuberay scale tiny-abcde" in caught.value.hint


def test_an_address_outside_is_given_when_a_service_is_made():
    with pytest.raises(Conflict, match="is none, not https:"):
        change(there(), exposure=OUTSIDE, new_cluster=True)


def test_what_nobody_asked_for_by_name_is_left_and_what_is_lacking_is_said():
    everything = ("cluster", "exposure", "bearer")
    assert change(there(), CLUSTER.changed(image="other", profile="small"), OUTSIDE, TOKEN, everything) == NOTHING
    *nothing, (words,) = change(there(), CLUSTER, OUTSIDE, TOKEN, everything)
    assert nothing == [None, None]
    assert "asks callers for no token and has no address outside" in words
    assert change(there(TOKEN, OUTSIDE), CLUSTER, OUTSIDE, TOKEN, everything) == NOTHING


def test_on_one_machine_a_service_stays_where_it_is():
    with pytest.raises(Conflict, match="image is") as caught:
        change(there(), CLUSTER.changed(image="example.org/ray:2"), new_cluster=True, on_kubernetes=False)
    assert "unpublish it first" in caught.value.hint


@pytest.mark.parametrize(
    ("spec", "words"),
    [(CLUSTER, "3 pods and 2 GPUs"), (ClusterSpec(name="one"), "1 pod"), (ClusterSpec(name="two", autoscaling=True), "1 pod")],
)
def test_what_a_cluster_takes_is_said_in_pods_and_gpus(spec, words):
    assert needs(spec) == words
