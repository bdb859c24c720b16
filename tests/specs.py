"""Every spec that can be made, as Hypothesis strategies."""

from __future__ import annotations

import string
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from jupyter_kuberay.names import MAX_CLUSTER_NAME, MAX_JOB_NAME, MAX_SERVICE_NAME
from jupyter_kuberay.quantity import Quantity
from jupyter_kuberay.spec import Application, ClusterSpec, Code, HeadSpec, JobSpec, SecretKey, ServiceSpec, Toleration, Volume, WorkerGroup

# What a Kubernetes string may hold: no NUL, and no half of a surrogate pair.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
COUNTS = st.one_of(st.integers(0, 5), st.integers(0, 2**31 - 1))
SECONDS = COUNTS


def names(longest: int) -> SearchStrategy[str]:
    return st.from_regex(rf"[a-z]([-a-z0-9]{{0,{longest - 2}}}[a-z0-9])?", fullmatch=True)


OBJECT_NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,60}[a-z0-9])?", fullmatch=True)
LABEL_KEYS = st.from_regex(r"([a-z]{1,10}\.example/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,20}[A-Za-z0-9])?", fullmatch=True)
LABEL_VALUES = st.from_regex(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?", fullmatch=True)
ENV_NAMES = st.from_regex(r"[-._a-zA-Z][-._a-zA-Z0-9]{0,20}", fullmatch=True).filter(lambda name: name != "PYTHONPATH")
PATHS = st.text(string.ascii_letters + string.digits + "-_. /ä", max_size=20).map(lambda text: f"/{text}")
LABELS = st.dictionaries(LABEL_KEYS, LABEL_VALUES, max_size=3)
QUANTITIES = st.builds(
    lambda number, suffix: Quantity(f"{number}{suffix}"),
    st.one_of(st.integers(1, 4096), st.decimals("0.001", "64", places=3)),
    st.sampled_from(["", "m", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti", "e3"]),
).filter(lambda quantity: quantity.value > 0)
GPU_RESOURCES = st.sampled_from(
    ["nvidia.com/gpu", "nvidia.com/gpu.shared", "nvidia.com/mig-1g.5gb", "amd.com/gpu", "gpu.intel.com/i915", "google.com/tpu"]
)

JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=8,
)
# What travels as an object loses what is null in it, as Kubernetes' own do.
OBJECTS = st.dictionaries(
    TEXT.filter(lambda key: key != "model"),
    st.one_of(
        st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False), TEXT, st.lists(TEXT, max_size=3)
    ),
    max_size=3,
)

TOLERATIONS = st.one_of(
    st.just(Toleration(key="nvidia.com/gpu", effect="NoSchedule")),
    st.builds(
        Toleration,
        key=st.one_of(st.just(""), LABEL_KEYS),
        operator=st.just("Exists"),
        effect=st.sampled_from(["", "NoSchedule", "PreferNoSchedule", "NoExecute"]),
    ),
    st.builds(
        Toleration,
        key=LABEL_KEYS,
        operator=st.just("Equal"),
        value=LABEL_VALUES,
        effect=st.sampled_from(["", "NoSchedule", "NoExecute"]),
    ),
)


@st.composite
def volumes(draw: st.DrawFn) -> tuple[Volume, ...]:
    made = []
    for name in draw(st.lists(names(63), unique=True, max_size=3)):
        source = draw(
            st.one_of(
                st.fixed_dictionaries({"claim": OBJECT_NAMES}),
                st.fixed_dictionaries({"secret": OBJECT_NAMES}),
                st.fixed_dictionaries({"config_map": OBJECT_NAMES}),
                st.fixed_dictionaries({"empty": QUANTITIES}),
            )
        )
        made.append(Volume(name=name, mount_path=f"{draw(PATHS)}{len(made)}", read_only=draw(st.booleans()), **source))
    return tuple(made)


PODS: dict[str, SearchStrategy[Any]] = {
    "cpu": QUANTITIES,
    "memory": QUANTITIES,
    "node_selector": LABELS,
    "tolerations": st.none() | st.lists(TOLERATIONS, max_size=2).map(tuple),
    "labels": LABELS,
    "env": st.builds(
        lambda env, path: env | path,
        st.dictionaries(
            ENV_NAMES,
            st.one_of(TEXT, st.builds(SecretKey, secret=OBJECT_NAMES, key=st.from_regex(r"[-._a-zA-Z0-9]{1,20}", fullmatch=True))),
            max_size=2,
        ),
        st.sampled_from([{}, {"PYTHONPATH": "/opt/team"}]),
    ),
    "volumes": volumes(),
    "ray_start_params": st.dictionaries(st.sampled_from(["num-cpus", "resources", "object-store-memory"]), TEXT, max_size=2),
    "pod_overrides": st.sampled_from(
        [
            {},
            {"spec": {"serviceAccountName": "ray"}},
            {"metadata": {"annotations": {"example.com/cost-centre": "7"}}},
            {"spec": {"securityContext": {"fsGroup": 100}, "initContainers": [{"name": "wait", "image": "busybox"}]}},
        ]
    ),
}


def heads() -> SearchStrategy[HeadSpec]:
    further = st.dictionaries(names(15), st.integers(20000, 30000), max_size=2)
    ports = further.map(lambda ports: {"gcs-server": 6379, "dashboard": 8265, "client": 10001} | ports)
    unique = ports.filter(lambda ports: len(set(ports.values())) == len(ports))
    return st.builds(HeadSpec, ports=st.one_of(st.just(HeadSpec().ports), unique), **PODS)


@st.composite
def worker_groups(draw: st.DrawFn, name: str) -> WorkerGroup:
    minimum, replicas, maximum = sorted(draw(st.lists(COUNTS, min_size=3, max_size=3)))
    gpus = draw(st.integers(0, 16))
    more = {"gpus": gpus, "gpu_resource": draw(GPU_RESOURCES)} if gpus else {}
    pod = {field: draw(strategy) for field, strategy in PODS.items()}
    return WorkerGroup(name=name, minimum=minimum, replicas=replicas, maximum=maximum, **more, **pod)


@st.composite
def clusters(draw: st.DrawFn) -> ClusterSpec:
    groups = draw(st.lists(names(40).filter(lambda name: name != "head"), unique=True, max_size=2))
    autoscaling = draw(st.booleans())
    redis = draw(st.sampled_from(["", "redis:6379", "10.0.0.7:6380"]))
    auth = draw(st.sampled_from(["token", "disabled"]))
    return ClusterSpec(
        name=draw(names(MAX_CLUSTER_NAME)),
        user=draw(TEXT),
        profile=draw(TEXT),
        ray_version=draw(st.sampled_from(["", "2.52.0", "2.58.0", "3.0.0.dev0", *(["2.7.0"] if auth == "disabled" else [])])),
        image=draw(
            st.sampled_from(
                ["", "rayproject/ray:2.58.0-py311", "team/ray:{ray}-py{python}", "registry.example:5000/team/ray@sha256:" + "0" * 64]
            )
        ),
        head=draw(heads()),
        worker_groups=tuple(draw(worker_groups(name)) for name in groups),
        autoscaling=autoscaling,
        worker_idle_timeout=draw(st.none() | SECONDS) if autoscaling else None,
        redis=redis,
        redis_password=draw(st.none() | st.just(SecretKey(secret="redis", key="password"))) if redis else None,
        pod_security=draw(st.sampled_from(["", "restricted"])),
        idle_timeout=draw(st.none() | SECONDS),
        queue=draw(st.none() | names(63)),
        suspend=draw(st.booleans()),
        auth=auth,
        simulated_gpus=draw(st.booleans()),
        overrides=draw(st.sampled_from([{}, {"managedBy": "ray.io/kuberay-operator"}, {"headServiceAnnotations": {"a": "b"}}])),
    )


@st.composite
def applications(draw: st.DrawFn, number: int) -> Application:
    # Serve's own names are free text; what is YAML's to quote is where it would go wrong.
    name = draw(st.one_of(st.sampled_from(["default", "yes", "1.0", "null", "a: b", "#"]), TEXT.filter(bool))) + str(number)
    deployment = draw(st.sampled_from(["", "Summarizer", "on"]))
    fields: dict[str, Any] = {}
    if deployment:
        fields = {
            "weights": draw(st.sampled_from(["", "s3://models/summarizer", "file:///a b/ä"])),
            "settings": draw(OBJECTS),
            "replicas": draw(st.none() | st.integers(0, 100)),
            "gpus": draw(st.none() | st.sampled_from([0.0, 0.5, 1.0, 2.0])),
        }
    return Application(
        name=name,
        import_path=draw(st.sampled_from(["module:app", "package.module:build", "text_summarizer.text_summarizer:deployment"])),
        route_prefix=f"/{draw(st.from_regex(r'[a-z0-9/_-]{0,10}', fullmatch=True))}{number}",
        code=draw(st.none() | st.builds(Code, source=st.sampled_from(["UEsFBg==", "s3://code/x.zip"]), sha256=st.just("0" * 64))),
        deployment=deployment,
        runtime_env=draw(st.sampled_from([{}, {"working_dir": "https://example.com/code.zip"}, {"env_vars": {"A": "on"}}])),
        **fields,
    )


@st.composite
def services(draw: st.DrawFn) -> ServiceSpec:
    return ServiceSpec(
        name=draw(names(MAX_SERVICE_NAME)),
        applications=tuple(draw(applications(number)) for number in range(draw(st.integers(1, 2)))),
        cluster=draw(clusters()),
        service_unhealthy_seconds=draw(st.none() | SECONDS),
        deployment_unhealthy_seconds=draw(st.none() | SECONDS),
        serve_options=draw(st.sampled_from([{}, {"proxy_location": "HeadOnly", "http_options": {"host": "127.0.0.1", "port": 8000}}])),
        overrides=draw(st.sampled_from([{}, {"upgradeStrategy": {"type": "None"}}])),
    )


@st.composite
def jobs(draw: st.DrawFn) -> JobSpec:
    existing = draw(st.booleans())
    own = {} if existing else {"retries": draw(COUNTS), "time_to_live": draw(SECONDS)}
    return JobSpec(
        name=draw(names(MAX_JOB_NAME)),
        entrypoint=draw(TEXT.filter(bool)),
        cluster=draw(names(MAX_CLUSTER_NAME) if existing else clusters()),
        user=draw(TEXT),
        time_limit=draw(st.none() | st.integers(1, 2**31 - 1)),
        runtime_env=draw(st.sampled_from([{}, {"working_dir": "s3://code/x.zip", "env_vars": {"A": "no"}}])),
        overrides=draw(st.sampled_from([{}, {"submissionMode": "K8sJobMode", "suspend": True}])),
        **own,
    )
