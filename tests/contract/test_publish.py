"""Publishing, through the same strings everywhere: one service for all tests, and some that do not come to be."""

import asyncio
import hashlib
import json
import os
import textwrap
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import suppress

import pytest
import pytest_asyncio

from jupyter_kuberay.errors import Conflict, Failed, InvalidSpec, NotFound
from jupyter_kuberay.fitting import DoesNotFit
from jupyter_kuberay.gates import GatesFailed
from jupyter_kuberay.manifest import cluster_bundle
from jupyter_kuberay.observation import Bundle, Kind
from jupyter_kuberay.publishing import diff, publish, reach, revisions, rollback, unpublish
from jupyter_kuberay.spec import ClusterSpec, HeadSpec
from jupyter_kuberay.status import JobPhase, job_status, service_status

from .conftest import NAME
from .resources import LABEL, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]

one_machine = pytest.mark.skipif(NAME != "local", reason="takes a folder that is the same here and on the cluster")

ORIGIN = "ray.io/originated-from-cr-name"
SECONDS = 120  # a machine that others use, too

APP = """
    import os

    from ray import serve
    from words import greeting

    EXAMPLE = "/?name=Ada"

    @serve.deployment(ray_actor_options={"num_cpus": 0.1})
    class Tiny:
        def reconfigure(self, user_config):
            if user_config["model"] == "missing":
                raise FileNotFoundError("there are no weights at 'missing'")
            self.config = user_config

        def prepare_reconfigure(self, user_config):
            self.prepared = user_config["model"]
            if self.prepared == "unloadable":
                raise FileNotFoundError("a replica has no memory for them")

        def try_out(self):
            return greeting

        async def __call__(self, request):
            if "niceness" in request.query_params:
                return [os.getpriority(os.PRIO_PROCESS, pid) for pid in (os.getpid(), os.getppid())]
            if "prepared" in request.query_params:
                return {"model": self.config["model"], "prepared": getattr(self, "prepared", "")}
            return {"greeting": greeting, **self.config}

    app = Tiny.bind()
"""


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    folder = tmp_path_factory.mktemp("code")
    (folder / "tiny.py").write_text(textwrap.dedent(APP))
    (folder / "words.py").write_text("greeting = 'Hello'\n")
    (folder / "broken.py").write_text("import words\nimport nonexistent_thing\nfrom tiny import app\n")
    (folder / "loud.py").write_text(textwrap.dedent(APP).replace("return {", "return {'loud': True, "))
    polite = "assert os.getpriority(os.PRIO_PROCESS, os.getppid()) == 19; return greeting"
    (folder / "polite.py").write_text(textwrap.dedent(APP).replace("return greeting", polite))
    (folder / "large.py").write_text("from tiny import app\nfrom bulk import bulk\n")
    (folder / "bulk").mkdir()
    # Digits of a hash, which no zip makes much smaller.
    text = "".join(hashlib.sha256(str(number).encode()).hexdigest() for number in range(4000))
    (folder / "bulk" / "__init__.py").write_text(f"bulk = '{text}'\n")
    image = folder / "image"
    image.mkdir()
    (image / "in_image.py").write_text(textwrap.dedent(APP).replace("from words import greeting", "greeting = 'From the image'"))
    return folder


@pytest.fixture(scope="module")
def cluster(code):
    head = HeadSpec(cpu="2", memory="2Gi", env={"PYTHONPATH": str(code / "image")} if NAME == "local" else {})
    return ClusterSpec(name="tiny", ray_version="2.58.0", image=os.environ.get("JUPYTER_KUBERAY_TEST_IMAGE", ""), head=head)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend(make_backend):
    made = make_backend()
    yield made
    for each in await made.list(Kind.SERVICE):
        with suppress(NotFound):
            await unpublish(made, each.name, timeout=SECONDS)
    await made.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def first(backend, code, cluster):
    return await publish(backend, "tiny", app=f"{code}/tiny.py:app", model="m1", cluster=cluster, replicas=2, who="ada", why="a start")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url(backend, first):
    """Where it answers from here."""
    async with reach(backend, "tiny") as at:
        yield at


@pytest_asyncio.fixture(loop_scope="module")
async def service(backend, code, url):
    """The service, whatever the test before has put into it."""

    async def put(app="tiny.py:app", model="m1", try_out=False, **more):
        return await publish(backend, "tiny", app=f"{code}/{app}", model=model, try_out=try_out, **more)

    put.url = url
    return put


async def ask(url):
    def get():
        with urllib.request.urlopen(url, timeout=30) as response:
            return json.loads(response.read())

    return await asyncio.to_thread(get)


async def test_an_application_that_cannot_be_imported_is_told_and_nothing_is_left_of_it(backend, code, cluster):
    began = time.monotonic()
    with pytest.raises(Failed, match=r"No module named 'nonexistent_thing' \(broken.py, line 2\)"):
        await publish(backend, "broken", app=f"{code}/broken.py:app", model="m1", cluster=cluster)
    print(f"told after {time.monotonic() - began:.1f} s")
    await went(backend, Kind.SERVICE, "broken")
    await no_cluster_of(backend, "broken")


async def test_a_publication_that_is_cancelled_leaves_no_half_made_service(backend, code, cluster):
    steps = []
    task = asyncio.create_task(publish(backend, "halfway", app=f"{code}/tiny.py:app", model="m1", cluster=cluster, progress=steps.append))
    async with asyncio.timeout(SECONDS):
        async for change in backend.watch(Kind.CLUSTER):
            if change.seen is not None and change.seen.labels.get(ORIGIN) == "halfway":
                break
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await went(backend, Kind.SERVICE, "halfway")
    assert (steps[-1].phase, "removed" in steps[-1].message) == ("undone", True)
    await no_cluster_of(backend, "halfway")


async def test_what_cannot_be_right_makes_nothing(backend, code, cluster):
    with pytest.raises(InvalidSpec, match="no cluster to make it on"):
        await publish(backend, "nothing", app=f"{code}/tiny.py:app", model="m1")
    with pytest.raises(InvalidSpec, match="no 'nothing'"):
        await publish(backend, "nothing", app=f"{code}/tiny.py:nothing", model="m1", cluster=cluster)
    with pytest.raises(InvalidSpec, match="not for you to set"):
        await publish(backend, "nothing", app=f"{code}/tiny.py:app", settings={"revision": 3}, cluster=cluster)
    assert "nothing" not in [each.name for each in await backend.list(Kind.SERVICE)]


async def test_the_first_revision_answers_at_the_address_that_is_given(backend, first, url):
    assert await ask(url) == {"greeting": "Hello", "model": "m1", "revision": 1}
    assert first.call == f"curl '{first.url}/?name=Ada'"
    # On Kubernetes it is the address for those inside.
    assert first.url == url if NAME == "local" else first.url.startswith("http://tiny-serve-svc.")
    assert [step.phase for step in first.timeline][:: len(first.timeline) - 1] == ["code", "ready"]
    status = service_status(await backend.get(Kind.SERVICE, "tiny"))
    assert (status.revision, status.model, status.settled) == (1, "m1", True)


async def test_its_cluster_is_known_as_its_own(backend, first):
    service = await backend.get(Kind.SERVICE, "tiny")
    below = await backend.get(Kind.CLUSTER, service_status(service).cluster)
    assert (below.labels[ORIGIN], below.labels[LABEL]) == ("tiny", "tiny")
    (owner,) = below.resource["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("RayService", service.resource["metadata"]["uid"])


async def test_new_weights_are_taken_over_in_place_and_no_request_fails(service, backend):
    before = await service(model="m1")
    answers, stop = Counter(), asyncio.Event()

    async def client():
        while not stop.is_set():
            try:
                answers[(await ask(service.url))["model"]] += 1
            except (OSError, urllib.error.URLError) as error:
                answers[repr(error)] += 1

    clients = [asyncio.create_task(client()) for _ in range(4)]
    replicas = await pids(backend)
    after = await service(model="m2")
    took = [step.seconds for step in after.timeline if step.phase in ("put", "ready")]
    assert (await ask(service.url))["model"] == "m2"
    stop.set()
    await asyncio.gather(*clients)
    print(f"{sum(answers.values())} requests, new answers {took[-1] - took[0]:.1f} s after the put")
    assert set(answers) == {"m1", "m2"}
    assert await pids(backend) == replicas
    assert after.revision.number == before.revision.number + 1


async def test_every_replica_loads_new_weights_before_it_has_to_take_them_over(service, backend):
    async def found():
        """What several requests are told, so that each of the two replicas is asked."""
        return {tuple((await ask(f"{service.url.rstrip('/')}/?prepared")).values()) for _ in range(12)}

    old = await service(model="m50")
    await service(model="m51")
    assert {model for model, _ in await found()} == {"m51"}
    new = await service(model="m52", try_out=True)
    assert await found() == {("m52", "m52")}
    with pytest.raises(Failed, match="a replica has no memory for them") as failed:
        await service(model="unloadable", try_out=True)
    assert "FileNotFoundError" in failed.value.message and "Nothing was changed." in f"{failed.value}"
    assert {model for model, _ in await found()} == {"m52"}
    # Those of the revision that was in last are there still; an older one's have to be loaded again.
    await rollback(backend, "tiny", to=old.revision.number)
    assert await found() == {("m50", "m50")}
    await rollback(backend, "tiny", to=new.revision.number)
    assert await found() == {("m52", "m50")}


async def test_who_answers_comes_no_later_than_what_starts_and_a_try_out_begins_as_the_last(service, backend):
    await service()
    replica, raylet = await ask(f"{service.url.rstrip('/')}/?niceness")
    assert replica == raylet
    done = await service("polite.py:app", try_out=True)  # it fails where its process did not begin so
    assert done.revision.number == (await revisions(backend, "tiny"))[-1].number


async def test_new_code_replaces_replicas_and_settings_go_along(service):
    loud = await service("loud.py:app", settings={"beams": 4})
    assert not [step for step in loud.timeline if "one replica" in step.message]  # there are two
    expected = {"loud": True, "greeting": "Hello", "model": "m1", "beams": 4, "revision": loud.revision.number}
    assert await ask(service.url) == expected


async def test_a_revision_that_does_not_pass_its_try_out_changes_nothing(service, backend):
    good = await service(model="m3")
    config = (await backend.get(Kind.SERVICE, "tiny")).spec["serveConfigV2"]
    with pytest.raises(Failed, match=r"did not pass its try-out: FileNotFoundError: there are no weights.*Nothing was changed"):
        await service(model="missing", try_out=True)
    with pytest.raises(Failed, match=r"try-out: ModuleNotFoundError.*'nonexistent_thing' \(broken.py, line 2\)"):
        await service("broken.py:app", try_out=True)
    assert (await backend.get(Kind.SERVICE, "tiny")).spec["serveConfigV2"] == config
    assert (await ask(service.url))["model"] == "m3"
    assert [each.number for each in await revisions(backend, "tiny") if each.current] == [good.revision.number]
    # What is deleted is there until whoever keeps it has seen that.
    for job in [each.name for each in await backend.list(Kind.JOB) if "tiny" in each.name]:
        await went(backend, Kind.JOB, job)


async def test_a_revision_that_does_not_start_without_having_been_tried_out_is_taken_back(service, backend):
    await service(model="m4")
    steps = []
    with pytest.raises(Failed, match=r"nonexistent_thing.*The earlier revision is back in"):
        await service("broken.py:app", progress=steps.append)
    assert steps[-1].phase == "undone"
    assert (await ask(service.url))["model"] == "m4"


async def test_rolling_back_puts_the_revision_before_in_or_the_one_that_is_named(service, backend):
    one = await service(model="m5", why="the good one", metrics={"rougeL": 0.9})
    two = await service("loud.py:app", model="m6")
    back = await rollback(backend, "tiny")
    assert back.revision.number == one.revision.number
    assert await ask(service.url) == {"greeting": "Hello", "model": "m5", "revision": one.revision.number}
    await rollback(backend, "tiny", to=two.revision.number)
    assert (await ask(service.url))["loud"]
    kept = {each.number: each for each in await revisions(backend, "tiny")}
    assert (kept[one.revision.number].why, kept[one.revision.number].metrics) == ("the good one", {"rougeL": 0.9})
    assert [number for number, each in kept.items() if each.current] == [two.revision.number]
    with pytest.raises(NotFound, match="no revision 99"):
        await rollback(backend, "tiny", to=99)


async def test_going_back_is_told_by_the_history_and_what_two_revisions_differ_in_by_their_difference(service, backend):
    one = await service(model="m20", settings={"beams": 4}, metrics={"rougeL": 0.5}, who="ada")
    two = await service("loud.py:app", model="m21", metrics={"rougeL": 0.75})
    await rollback(backend, "tiny", who="bob", why="too loud")
    kept = {each.number: each for each in await revisions(backend, "tiny")}
    (again,) = kept[one.revision.number].again
    assert (again.who, again.why, again.instead_of) == ("bob", "too loud", two.revision.number)
    assert again.when >= two.revision.when and kept[one.revision.number].who == "ada"
    found = await diff(backend, "tiny", one.revision.number, two.revision.number)
    assert [(each.path, each.change) for each in found.files] == [("loud.py", "added"), ("tiny.py", "removed")]
    assert [(each.key, each.before, each.after) for each in found.facts] == [("app", "tiny:app", "loud:app"), ("model", "m20", "m21")]
    assert [each.key for each in found.settings] == ["beams"]
    assert [(each.key, each.difference) for each in found.metrics] == [("rougeL", 0.25)]
    with pytest.raises(NotFound, match="no revision 99"):
        await diff(backend, "tiny", 99)


async def test_an_application_beside_another_has_its_own_address_and_revisions_and_its_end_leaves_the_other_alone(service, backend):
    first = await service(model="m22")
    other = await service("loud.py:app", model="o1", application="other", route_prefix="/other", try_out=True)
    assert (other.revision.number, other.revision.application) == (1, "other") and other.url.endswith("/other")
    assert (await ask(f"{service.url}/other"))["loud"] and (await ask(service.url))["model"] == "m22"
    before = await pids(backend)
    await service("loud.py:app", model="o2", application="other")
    assert [(await ask(f"{service.url}/other"))[key] for key in ("model", "revision")] == ["o2", 2]
    await rollback(backend, "tiny", application="other")
    assert (await ask(f"{service.url}/other"))["model"] == "o1" and (await ask(service.url))["model"] == "m22"
    assert await pids(backend) == before
    assert [each.number for each in await revisions(backend, "tiny", application="other")] == [1, 2]
    assert first.revision.number in [each.number for each in await revisions(backend, "tiny")]
    status = service_status(await backend.get(Kind.SERVICE, "tiny"))
    assert {each.name: (each.model, each.route_prefix) for each in status.applications} == {"tiny": ("m22", "/"), "other": ("o1", "/other")}
    assert (status.model, status.revision) == ("m22", first.revision.number)
    with pytest.raises(Conflict, match="'other' answers at '/other' already"):
        await service(application="third", route_prefix="/other")
    with pytest.raises(Conflict, match="answers at '/other', not at '/elsewhere'"):
        await service(application="other", route_prefix="/elsewhere")
    assert not await unpublish(backend, "tiny", application="other", timeout=SECONDS)
    assert (await ask(service.url))["model"] == "m22" and await pids(backend) == before
    with pytest.raises(NotFound, match="no application 'other'"):
        await revisions(backend, "tiny", application="other")
    assert (await service("loud.py:app", model="o3", application="other")).revision.number == 1
    await unpublish(backend, "tiny", application="other", timeout=SECONDS)


async def test_an_added_application_that_does_not_start_is_taken_out_and_the_other_answers(service, backend):
    await service(model="m23")
    config = (await backend.get(Kind.SERVICE, "tiny")).spec["serveConfigV2"]
    with pytest.raises(Failed, match=r"nonexistent_thing.*taken out again; the service's other applications answer"):
        await service("broken.py:app", model="b1", application="broken")
    assert (await backend.get(Kind.SERVICE, "tiny")).spec["serveConfigV2"] == config
    assert (await ask(service.url))["model"] == "m23"


async def test_one_that_is_scaled_to_zero_is_ready_and_answers_who_asks(service, backend):
    scaled = await service(model="m24", min_replicas=0, max_replicas=2, downscale_delay_s=0)
    assert (scaled.revision.scaling.min_replicas, scaled.revision.scaling.max_replicas) == (0, 2)
    async with asyncio.timeout(SECONDS):
        while await pids(backend):
            await asyncio.sleep(0.2)
    status = service_status(await backend.get(Kind.SERVICE, "tiny"))
    assert (str(status.phase), [each.replicas for each in status.applications]) == ("Ready", ["0 to 2 replicas"])
    upgraded = await service(model="m25")
    assert (upgraded.revision.scaling.min_replicas, upgraded.revision.number) == (0, scaled.revision.number + 1)
    async with asyncio.timeout(SECONDS):
        assert (await ask(service.url))["model"] == "m25"
    alone = await service("loud.py:app", model="m26", replicas=1)
    assert [step for step in alone.timeline if "its one replica is replaced; requests wait" in step.message]
    assert (await service(model="m26", replicas=2)).revision.scaling.replicas == 2
    await answers(service.url, "m26")


async def test_a_rehearsal_of_a_cluster_makes_none_and_on_kubernetes_says_what_would_be_refused(backend, cluster):
    resource = cluster_bundle(cluster.changed(name="rehearsed")).resource
    left = await backend.rehearse(resource)
    assert left == "" or "may not create pods" in left
    assert "rehearsed" not in [each.name for each in await backend.list(Kind.CLUSTER)]
    if NAME != "local":
        with pytest.raises(InvalidSpec, match="headGroupSpec"):
            await backend.rehearse({**resource, "spec": {**resource["spec"], "headGroupSpec": {"rayStartParams": 1}}})


async def test_what_failed_its_gates_changes_nothing_unless_that_is_meant_and_then_its_history_tells_it(service, backend):
    before = await service(model="m27")
    gates = {"passed": False, "gates": [{"name": "ROUGE-L", "found": 0.8, "wanted": 0.85, "at_least": True, "passed": False}]}
    with pytest.raises(GatesFailed, match=r"m28 failed 1 of its gates.*ROUGE-L: 0.8, at least 0.85 \(failed by 0.05\)"):
        await service(model="m28", gates=gates)
    assert (await ask(service.url))["model"] == "m27"
    assert [each.number for each in await revisions(backend, "tiny")][-1] == before.revision.number
    await service(model="m28", gates=gates, despite_gates=True)
    assert [each.failed_gates for each in await revisions(backend, "tiny") if each.current] == [
        ("ROUGE-L: 0.8, at least 0.85 (failed by 0.05)",)
    ]


@one_machine
async def test_an_alias_is_resolved_once_its_version_is_recorded_and_one_that_failed_its_gates_is_refused(
    service, backend, tmp_path, monkeypatch
):
    registry = pytest.importorskip("jupyter_kuberay.lifecycle.registry")
    monkeypatch.setenv("JUPYTER_KUBERAY_DATA_DIR", str(tmp_path / "data"))
    where = f"sqlite:///{tmp_path}/mlflow.db"
    run = a_run(tmp_path / "run", passed=True)
    registry.register(str(run), "tiny", tracking_uri=where)
    registry.promote("tiny", 1, tracking_uri=where)
    published = await service(model="models:/tiny@champion", registry=where)
    assert (published.revision.model_version, published.revision.metrics["rougeL"]) == ("models:/tiny/1", 0.94)
    assert (await ask(service.url))["model"] == published.revision.model and "models:" not in published.revision.model
    worse = a_run(tmp_path / "worse", passed=False)
    registry.register(str(worse), "tiny", tracking_uri=where)
    registry.judge("models:/tiny/2", json.loads((worse / "validation.json").read_text()), tracking_uri=where)
    registry.promote("tiny", 2, tracking_uri=where, though_failed=True)
    assert (await revisions(backend, "tiny"))[-1].model_version == "models:/tiny/1"
    with pytest.raises(GatesFailed, match=r"models:/tiny@champion failed 1 of its gates.*failed by 0.25"):
        await service(model="models:/tiny@champion", registry=where)
    with pytest.raises(NotFound):
        await service(model="models:/tiny@nobody", registry=where)


def a_run(folder, *, passed):
    """A run folder as the lifecycle leaves it; its model has one number."""
    import numpy
    from safetensors.numpy import save_file

    model = folder / "model"
    model.mkdir(parents=True)
    (model / "config.json").write_text('{"architectures": ["T5ForConditionalGeneration"]}')
    save_file({"weight": numpy.array([float(passed)])}, model / "model.safetensors")
    gate = {
        "name": "ROUGE-L",
        "key": "metrics.rougeL.at_least",
        "passed": passed,
        "verdict": "ROUGE-L: 0.6, at least 0.85 (failed by 0.25)",
    }
    scores = {"model": {"rougeL": 0.94}, "lead1": {"rougeL": 0.16}}
    (folder / "evaluation.json").write_text(json.dumps({"models": {"model": str(model)}, "scores": scores, "reports": 10}))
    (folder / "validation.json").write_text(json.dumps({"passed": passed, "model": str(model), "gates": [gate]}))
    return folder


async def test_what_does_not_fit_changes_nothing_and_says_what_is_short(service, backend):
    await service(model="m29")
    config = (await backend.get(Kind.SERVICE, "tiny")).spec["serveConfigV2"]
    with pytest.raises(DoesNotFit, match=r"1000 replicas of 'Tiny' with 0.1 CPUs each do not fit on cluster tiny.*room for \d+"):
        await service(model="m30", replicas=1000, try_out=True)
    with pytest.raises(DoesNotFit, match=r"with 0.1 CPUs and 1 GPU each.*room for 0"):
        await service("loud.py:app", model="m30", application="other", gpus=1, try_out=True)
    assert (await backend.get(Kind.SERVICE, "tiny")).spec["serveConfigV2"] == config


async def test_an_upgrade_that_is_cancelled_is_either_in_or_not_and_says_which(service, backend):
    before = await service(model="m7")
    steps, put = [], asyncio.Event()

    def listen(step):
        steps.append(step)
        if step.phase == "put":
            put.set()

    task = asyncio.create_task(service(model="m8", progress=listen, try_out=True))
    while not steps or steps[-1].phase != "try-out":
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (steps[-1].phase, steps[-1].message) == ("undone", f"Revision {before.revision.number + 1} is not in.")
    task = asyncio.create_task(service(model="m9", progress=listen))
    async with asyncio.timeout(30):
        await put.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (steps[-1].phase, steps[-1].message) == ("kept", f"Revision {before.revision.number + 1} is in.")
    assert [each.model for each in await revisions(backend, "tiny") if each.current] == ["m9"]
    await answers(service.url, "m9")


async def test_of_two_who_publish_at_once_one_is_told(service, backend):
    await service(model="m10")
    one, other = await asyncio.gather(service(model="m11"), service(model="m12"), return_exceptions=True)
    refused = [each for each in (one, other) if isinstance(each, Exception)]
    assert [type(each) for each in refused] == [Conflict]
    await answers(service.url, "m12" if refused == [one] else "m11")


@one_machine
async def test_an_application_in_the_image_is_named_by_its_import_path(service, backend):
    published = await publish(backend, "tiny", app="in_image:app", model="m13", code=False, deployments=["Tiny"])
    assert (await ask(service.url))["greeting"] == "From the image"
    assert (published.revision.code, published.revision.sha256) == ("", "")


@one_machine
async def test_code_that_is_too_large_for_the_configuration_goes_to_an_address(service, tmp_path):
    with pytest.raises(InvalidSpec, match=r"KiB fit into.*code_store"):
        await service("large.py:app")
    published = await service("large.py:app", model="m14", code_store=f"file://{tmp_path}/store")
    assert published.revision.code == f"file://{tmp_path}/store/{published.revision.sha256}.zip"
    assert (await ask(service.url))["model"] == "m14"


async def test_a_malformed_configuration_is_told_and_what_ran_runs_on(service, backend):
    await service(model="m15")
    config = (await backend.get(Kind.SERVICE, "tiny")).spec["serveConfigV2"]
    await backend.patch(Kind.SERVICE, "tiny", [{"op": "replace", "path": "/spec/serveConfigV2", "value": "a: [b\nc: :"}])
    told = await until(backend, Kind.SERVICE, "tiny", lambda seen: "not YAML" in why(seen))
    if NAME == "local":  # KubeRay says so in an event only
        assert [each["reason"] for each in told.status["conditions"] if each["type"] == "Ready"] == ["ValidationFailed"]
    assert (await ask(service.url))["model"] == "m15"
    await backend.patch(Kind.SERVICE, "tiny", [{"op": "replace", "path": "/spec/serveConfigV2", "value": config}])
    await until(backend, Kind.SERVICE, "tiny", lambda seen: service_status(seen).settled)


@pytest.mark.parametrize(
    ("entrypoint", "phase", "words"),
    [
        ("echo $((6*7))", JobPhase.SUCCEEDED, "finished successfully"),
        ("python -c 'print(1/0)'", JobPhase.FAILED, "ZeroDivisionError"),
        ("sleep 60", JobPhase.FAILED, "activeDeadlineSeconds"),
    ],
)
async def test_a_job_runs_on_the_cluster_of_the_service(entrypoint, phase, words, backend, first):
    cluster = service_status(await backend.get(Kind.SERVICE, "tiny")).cluster
    name = f"job-{phase.lower()}-{len(entrypoint)}"
    spec = {"entrypoint": entrypoint, "clusterSelector": {"ray.io/cluster": cluster}, "submissionMode": "HTTPMode"}
    spec |= {"activeDeadlineSeconds": 3} if "sleep" in entrypoint else {}
    await backend.create(Bundle(resource={"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": name}, "spec": spec}))
    seen = await until(backend, Kind.JOB, name, lambda seen: job_status(seen).phase not in (JobPhase.PENDING, JobPhase.RUNNING))
    assert job_status(seen).phase is phase
    assert words in seen.status["message"]
    await backend.delete(Kind.JOB, name)
    await went(backend, Kind.JOB, name)


async def test_unpublishing_leaves_nothing(backend, first, url):
    await unpublish(backend, "tiny")
    for kind in Kind:
        assert not [each.name for each in await backend.list(kind) if each.name.startswith("tiny")]
    with pytest.raises(NotFound, match="no service 'tiny'"):
        await revisions(backend, "tiny")
    with pytest.raises(OSError):  # noqa: PT011
        await ask(url)


async def pids(backend):
    """The replicas' actors, which stay when they are only reconfigured."""
    from jupyter_kuberay.backends.base import DASHBOARD_PORT
    from jupyter_kuberay.backends.dashboard import Dashboard

    cluster = service_status(await backend.get(Kind.SERVICE, "tiny")).cluster
    async with backend.reach(cluster, DASHBOARD_PORT) as at:
        details = await Dashboard(at.host, at.port, at.token).applications()
    return sorted(str(replica.get("actor_id")) for replica in details["applications"]["tiny"]["deployments"]["Tiny"]["replicas"])


def why(seen):
    cause = service_status(seen).cause
    return cause.what if cause else ""


async def clusters_of(backend, service):
    return [each.name for each in await backend.list(Kind.CLUSTER) if each.labels.get(ORIGIN) == service]


async def no_cluster_of(backend, service):
    """Here it goes before its service; KubeRay may make one more while the service goes, which then goes with it."""
    if NAME == "local":
        assert await clusters_of(backend, service) == []
    async with asyncio.timeout(SECONDS):
        while await clusters_of(backend, service):
            await asyncio.sleep(0.2)


async def went(backend, kind, name):
    """Wait until it is no longer there."""
    async with asyncio.timeout(SECONDS):
        async for change in backend.watch(kind):
            if change.type == "deleted" and change.seen.name == name:
                return
            if change.type == "synced" and name not in [each.name for each in await backend.list(kind)]:
                return


async def answers(url, model, seconds=30):
    async with asyncio.timeout(seconds):
        while (await ask(url))["model"] != model:
            pass
