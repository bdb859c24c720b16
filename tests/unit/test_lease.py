"""What a lease asks KubeRay for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from jupyter_kuberay.backends.local.jobs import awaited, overdue, seconds_left
from jupyter_kuberay.backends.patches import apply_patch
from jupyter_kuberay.errors import Conflict
from jupyter_kuberay.lease import LEASE, PURPOSE, beat, bundle
from jupyter_kuberay.observation import Observation
from jupyter_kuberay.spec import ClusterSpec
from tests.schema import violations

NOW = datetime(2026, 1, 1, 12, 0, 30, 500_000, tzinfo=UTC)


def seen(**more: object) -> Observation:
    resource = {"kind": "RayJob", "metadata": {"name": "a", "uid": "u"}, "spec": {}, "status": {"startTime": "2026-01-01T12:00:00Z"}}
    return Observation(resource={**resource, **more})


def test_a_lease_is_a_job_that_waits_and_takes_its_own_cluster_along() -> None:
    lent = bundle(
        ClusterSpec(name="night-4f2a", user="alice", ray_version="2.58.0", image="rayproject/ray:2.58.0-py311"), purpose="n.ipynb"
    )
    metadata, body = lent.resource["metadata"], lent.resource["spec"]
    assert not violations(lent.resource)
    assert (body["activeDeadlineSeconds"], body["shutdownAfterJobFinishes"], body["ttlSecondsAfterFinished"]) == (90, True, 0)
    assert body["submissionMode"] == "HTTPMode" and body["entrypoint"].split()[:2] == ["exec", "sleep"]
    assert metadata["labels"][LEASE] == "true" and metadata["labels"]["jupyter-kuberay/user"] == "alice"
    assert metadata["annotations"][PURPOSE] == "n.ipynb"


def test_a_beat_gives_it_the_grace_from_now_whenever_it_began() -> None:
    patched = apply_patch(seen().resource, beat(seen(), NOW, 90))
    assert patched["spec"]["activeDeadlineSeconds"] == 121  # 30.5 s have passed; no fraction is lost


def test_one_in_a_queue_has_its_grace_from_when_it_begins_anew() -> None:
    queued = seen(spec={"suspend": True, "activeDeadlineSeconds": 5000})
    assert apply_patch(queued.resource, beat(queued, NOW, 90))["spec"]["activeDeadlineSeconds"] == 90


def test_a_beat_is_not_for_another_of_the_same_name() -> None:
    with pytest.raises(Conflict):
        apply_patch(seen(metadata={"name": "a", "uid": "other"}).resource, beat(seen(), NOW, 90))


def test_a_jobs_deadline_counts_while_it_waits_for_its_cluster_but_not_while_it_is_suspended() -> None:
    waiting = awaited({"activeDeadlineSeconds": 10}, {})
    assert awaited({}, waiting) == waiting  # the first look counts
    begun = {**waiting, "startTime": "2026-01-01T12:00:00Z"}
    assert seconds_left({"activeDeadlineSeconds": 40}, begun, NOW) == 9.5
    assert overdue({"activeDeadlineSeconds": 30}, begun, NOW) and not overdue({}, begun, NOW)
    assert awaited({"suspend": True, "activeDeadlineSeconds": 10}, begun) == {"jobDeploymentStatus": "Suspended"}
