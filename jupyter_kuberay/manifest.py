"""Specs as KubeRay v1 resources, and back.

Pure. What is written here is what ``kubectl create -f`` would be given, and
what both substrates keep. Reading gives the spec of any resource, also of one
that another tool made: what no field can say becomes an override, so that
nothing is lost (``manifest(read(x))`` has the same ``spec`` as ``x``).

Source: KubeRay's API reference, ray.io/v1.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from jupyter_kuberay import pods
from jupyter_kuberay.errors import InvalidSpec
from jupyter_kuberay.exposure import Exposure
from jupyter_kuberay.names import label_value
from jupyter_kuberay.nodes import HEAD_PORTS
from jupyter_kuberay.observation import API_VERSION, PREFIX, Bundle, Json, Kind
from jupyter_kuberay.overlay import apply, difference
from jupyter_kuberay.spec import (
    FIRST_RAY_WITH_AUTOSCALER_V2,
    Application,
    ClusterSpec,
    Code,
    HeadSpec,
    JobSpec,
    SecretKey,
    ServiceSpec,
    WorkerGroup,
)

USER, PROFILE, NAME = f"{PREFIX}/user", f"{PREFIX}/profile", f"{PREFIX}/name"
IDLE_TIMEOUT = f"{PREFIX}/idle-timeout"
SIMULATED_GPUS = f"{PREFIX}/simulated-gpus"
URL = f"{PREFIX}/url"  # of an exposed service
QUEUE = "kueue.x-k8s.io/queue-name"

LOADER_IMPORT_PATH = "jupyter_kuberay_loader:build"
_SERVICE_THRESHOLDS = {
    "service_unhealthy_seconds": "serviceUnhealthySecondThreshold",
    "deployment_unhealthy_seconds": "deploymentUnhealthySecondThreshold",
}


# --- clusters ------------------------------------------------------------


def cluster_bundle(spec: ClusterSpec) -> Bundle:
    """Everything that a RayCluster needs."""
    return Bundle(resource=_resource(Kind.CLUSTER, spec.name, spec, _cluster_body(spec)))


def read_cluster(resource: Json) -> ClusterSpec:
    """The spec of a RayCluster, whoever made it.

    Raises
    ------
    InvalidSpec
        The resource has no head, or values that Kubernetes would not have taken.
    """
    return _read_cluster_body(resource["metadata"], _bare(resource.get("spec") or {}))


def _cluster_body(spec: ClusterSpec) -> Json:
    body: Json = {"rayVersion": spec.ray_version} if spec.ray_version else {}
    if spec.auth == "token":
        body["authOptions"] = {"mode": "token"}
    if spec.autoscaling:
        body["enableInTreeAutoscaling"] = True
        if options := _autoscaler(spec):
            body["autoscalerOptions"] = options
    if spec.suspend:
        body["suspend"] = True
    if spec.redis:
        body["gcsFaultToleranceOptions"] = {"redisAddress": spec.redis} | _password(spec.redis_password)
    body["headGroupSpec"] = _head(spec)
    body["workerGroupSpecs"] = [_group(spec, group) for group in spec.worker_groups]
    return apply(body, spec.overrides)


def _autoscaler(spec: ClusterSpec) -> Json:
    # The second autoscaler is the one that Ray develops.
    options: Json = {"version": "v2"} if spec.has_ray(FIRST_RAY_WITH_AUTOSCALER_V2) else {}
    if spec.worker_idle_timeout is not None:
        options["idleTimeoutSeconds"] = spec.worker_idle_timeout
    if spec.pod_security:
        options["securityContext"] = pods.RESTRICTED_CONTAINER
    return options


def _password(of: SecretKey | None) -> Json:
    return {"redisPassword": {"valueFrom": {"secretKeyRef": {"name": of.secret, "key": of.key}}}} if of else {}


def _read_redis(options: Json) -> Json:
    """The fields that say the same; none where only an override can."""
    address = options.get("redisAddress")
    if not isinstance(address, str) or not re.fullmatch(r"[^\s/]+:\d{1,5}", address):
        return {}
    reference = ((options.get("redisPassword") or {}).get("valueFrom") or {}).get("secretKeyRef") or {}
    named = {key: reference[key] for key in ("name", "key") if reference.get(key)}
    password = SecretKey(secret=named["name"], key=named["key"]) if len(named) == 2 else None
    return {"redis": address, "redis_password": password}


def _head(spec: ClusterSpec) -> Json:
    return {
        "rayStartParams": {"dashboard-host": "0.0.0.0"} | spec.head.ray_start_params,
        "template": pods.head_template(spec.head, spec.image, bool(spec.pod_security)),
    }


def _group(spec: ClusterSpec, group: WorkerGroup) -> Json:
    return {
        "groupName": group.name,
        "replicas": group.replicas,
        "minReplicas": group.minimum,
        "maxReplicas": group.maximum,
        "rayStartParams": group.started_with,
        "template": pods.worker_template(group, spec.image, bool(spec.pod_security)),
    }


def _read_cluster_body(metadata: Json, body: Json) -> ClusterSpec:
    head = body.get("headGroupSpec")
    if not head or not (head.get("template") or {}).get("spec", {}).get("containers"):
        raise InvalidSpec(f"{metadata.get('name')!r} has no container for its head.", "Give headGroupSpec.template.spec.containers.")
    image = str(head["template"]["spec"]["containers"][0].get("image", ""))
    annotations = metadata.get("annotations") or {}
    labels = metadata.get("labels") or {}
    restricted = pods.is_restricted(head["template"])
    autoscaling = bool(body.get("enableInTreeAutoscaling"))
    spec = ClusterSpec(
        name=metadata["name"],
        user=annotations.get(USER, labels.get(USER, "")),
        profile=annotations.get(PROFILE, labels.get(PROFILE, "")),
        ray_version=body.get("rayVersion", ""),
        image=image,
        head=_read_head(head, image, restricted),
        worker_groups=tuple(_read_group(group, image, restricted) for group in body.get("workerGroupSpecs", [])),
        autoscaling=autoscaling,
        worker_idle_timeout=(body.get("autoscalerOptions") or {}).get("idleTimeoutSeconds") if autoscaling else None,
        idle_timeout=int(annotations[IDLE_TIMEOUT]) if annotations.get(IDLE_TIMEOUT, "").isdigit() else None,
        queue=labels.get(QUEUE),
        suspend=bool(body.get("suspend")),
        pod_security="restricted" if restricted else "",
        auth="token" if (body.get("authOptions") or {}).get("mode") == "token" else "disabled",
        simulated_gpus=annotations.get(SIMULATED_GPUS) == "true",
        **_read_redis(body.get("gcsFaultToleranceOptions") or {}),
    )
    rest = difference(_cluster_body(spec), body)
    return spec.changed(overrides=rest) if rest else spec


def _read_head(head: Json, image: str, restricted: bool) -> HeadSpec:
    params = {name: value for name, value in (head.get("rayStartParams") or {}).items() if (name, value) != ("dashboard-host", "0.0.0.0")}
    return pods.read_head(head["template"], params, image, restricted)


def _read_group(group: Json, image: str, restricted: bool) -> WorkerGroup:
    replicas, minimum = group.get("replicas", 0), group.get("minReplicas", 0)
    maximum = group.get("maxReplicas", 2**31 - 1)
    # KubeRay keeps the wanted number within the bounds whatever it says.
    numbers = {"replicas": min(max(replicas, minimum), maximum), "minimum": min(minimum, maximum), "maximum": maximum}
    return pods.read_group(group["template"], group.get("rayStartParams") or {}, image, restricted, name=group["groupName"], **numbers)


# --- services ------------------------------------------------------------


def serve_service(name: str) -> str:
    """The Kubernetes Service that KubeRay makes for what a RayService serves."""
    return f"{name}-serve-svc"


def service_bundle(spec: ServiceSpec, exposure: Exposure | None = None) -> Bundle:
    """Everything that a RayService needs, the loader of published code included; with ``exposure``, also an address outside."""
    loaded = any(application.code for application in spec.applications)
    cluster = pods.with_loader(spec.cluster, spec.bearer) if loaded else spec.cluster
    body: Json = {key: seconds for field, key in _SERVICE_THRESHOLDS.items() if (seconds := getattr(spec, field)) is not None}
    body["serveConfigV2"] = serve_config(spec)
    body["rayClusterConfig"] = _cluster_body(cluster)
    resource = _resource(Kind.SERVICE, spec.name, cluster, apply(body, spec.overrides))
    routes: tuple[Json, ...] = ()
    if exposure:
        metadata, port = resource["metadata"], cluster.head.ports.get("serve", HEAD_PORTS["serve"])
        metadata["annotations"] = metadata.get("annotations", {}) | {URL: exposure.url(spec.name, cluster.user)}
        routes = (exposure.route(spec.name, cluster.user, serve_service(spec.name), port, metadata["labels"]),)
    return Bundle(resource=resource, config_maps=(pods.loader_config_map(),) if loaded else (), routes=routes)


def service_pods(cluster: ClusterSpec, bearer: SecretKey | None) -> Json:
    """The ``rayClusterConfig`` of a published service on ``cluster``, whose callers show the token in ``bearer``."""
    return _cluster_body(pods.with_loader(cluster, bearer))


def read_service(resource: Json) -> ServiceSpec:
    """The spec of a RayService, whoever made it."""
    body = _bare(resource.get("spec") or {})
    config = parse_serve_config(body.get("serveConfigV2", ""))
    applications = tuple(_read_application(application) for application in config.get("applications", []))
    cluster = _read_cluster_body(resource["metadata"], body.get("rayClusterConfig", {}))
    loaded = any(application.code for application in applications)
    spec = ServiceSpec(
        name=resource["metadata"]["name"],
        applications=applications,
        cluster=pods.without_loader(cluster) if loaded else cluster,
        bearer=pods.bearer_of(cluster) if loaded else None,
        serve_options={key: value for key, value in config.items() if key != "applications"},
        **{field: body.get(key) for field, key in _SERVICE_THRESHOLDS.items()},
    )
    ours = _bare(service_bundle(spec).resource["spec"]) | {"serveConfigV2": body.get("serveConfigV2")}
    rest = difference(ours, body)
    return spec.changed(overrides=rest) if rest else spec


def serve_config(spec: ServiceSpec) -> str:
    """The whole of ``serveConfigV2``, as YAML: all that may change without a new cluster."""
    config = dict(spec.serve_options) | {"applications": [application_config(application) for application in spec.applications]}
    # Escaped, because PyYAML writes some of Unicode's line breaks as they are and reads them back as spaces.
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=False)


def parse_serve_config(text: str) -> Json:
    """The reverse of YAML: a mapping with ``applications``, or `InvalidSpec`."""
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidSpec(f"serveConfigV2 is not YAML: {' '.join(str(error).split())}.", "Correct it where it says.") from None
    if not isinstance(config, dict) or not isinstance(config.get("applications"), list):
        raise InvalidSpec("serveConfigV2 has no list of applications.", "Give it as a mapping with the key 'applications'.")
    return config


def application_config(application: Application) -> Json:
    """One application as Serve reads it."""
    config: Json = {"name": application.name, "route_prefix": application.route_prefix}
    if application.code:
        args = {"code": application.code.source, "sha256": application.code.sha256, "app": application.import_path}
        config |= {"import_path": LOADER_IMPORT_PATH, "args": args}
    else:
        config["import_path"] = application.import_path
    if application.runtime_env:
        config["runtime_env"] = application.runtime_env
    if application.deployment:
        config["deployments"] = [_deployment_config(application)]
    return apply(config, application.overrides)


def _deployment_config(application: Application) -> Json:
    config: Json = {"name": application.deployment}
    if application.replicas is not None:
        config["num_replicas"] = application.replicas
    if application.gpus is not None:
        config["ray_actor_options"] = {"num_gpus": application.gpus}
    if application.weights or application.settings:
        config["user_config"] = ({"model": application.weights} if application.weights else {}) | application.settings
    return config


def _read_application(config: Json) -> Application:
    config = _bare(config)
    args = config.get("args") or {}
    loaded = config.get("import_path") == LOADER_IMPORT_PATH and {"code", "sha256", "app"} <= set(args) and args["code"]
    deployments = config.get("deployments") or []
    main: Json = deployments[0] if deployments else {}
    user_config = dict(main.get("user_config") or {})
    replicas = main.get("num_replicas")
    application = Application(
        name=config.get("name", "default"),
        import_path=args["app"] if loaded else config.get("import_path"),
        route_prefix=config.get("route_prefix", "/"),
        code=Code(source=args["code"], sha256=args["sha256"]) if loaded else None,
        weights=user_config.pop("model", ""),
        settings=user_config,
        deployment=main.get("name", ""),
        replicas=replicas if isinstance(replicas, int) else None,
        gpus=(main.get("ray_actor_options") or {}).get("num_gpus"),
        runtime_env=config.get("runtime_env") or {},
    )
    rest = difference(application_config(application), config)
    return application.changed(overrides=rest) if rest else application


# --- jobs ----------------------------------------------------------------


def job_bundle(spec: JobSpec) -> Bundle:
    """Everything that a RayJob needs. It is submitted over HTTP: no further pod, and tokens work (seen on 1.6.1)."""
    body: Json = {"entrypoint": spec.entrypoint, "submissionMode": "HTTPMode", "backoffLimit": spec.retries}
    if spec.time_limit is not None:
        body["activeDeadlineSeconds"] = spec.time_limit
    if spec.runtime_env:
        body["runtimeEnvYAML"] = yaml.safe_dump(spec.runtime_env, sort_keys=False)
    if isinstance(spec.cluster, str):
        body["clusterSelector"] = {"ray.io/cluster": spec.cluster}
        metadata_of = None
    else:
        body |= {"shutdownAfterJobFinishes": True, "ttlSecondsAfterFinished": spec.time_to_live}
        body["rayClusterSpec"] = _cluster_body(spec.cluster)
        metadata_of = spec.cluster
    resource = _resource(Kind.JOB, spec.name, metadata_of, apply(body, spec.overrides))
    if spec.user:
        resource["metadata"]["labels"] = resource["metadata"].get("labels", {}) | {USER: label_value(spec.user)}
        resource["metadata"]["annotations"] = resource["metadata"].get("annotations", {}) | {USER: spec.user}
    return Bundle(resource=resource)


def read_job(resource: Json) -> JobSpec:
    """The spec of a RayJob, whoever made it."""
    metadata, body = resource["metadata"], _bare(resource.get("spec") or {})
    selector = (body.get("clusterSelector") or {}).get("ray.io/cluster")
    cluster: str | ClusterSpec = selector or _read_cluster_body(metadata, body.get("rayClusterSpec", {}))
    spec = JobSpec(
        name=metadata["name"],
        entrypoint=body.get("entrypoint", ""),
        cluster=cluster,
        user=(metadata.get("annotations") or {}).get(USER, ""),
        time_limit=body.get("activeDeadlineSeconds"),
        retries=body.get("backoffLimit", 0) if not selector else 0,
        time_to_live=body.get("ttlSecondsAfterFinished", 0) if not selector else 0,
        runtime_env=yaml.safe_load(body["runtimeEnvYAML"]) if body.get("runtimeEnvYAML") else {},
    )
    ours = job_bundle(spec).resource["spec"]
    if "runtimeEnvYAML" in body:
        ours["runtimeEnvYAML"] = body["runtimeEnvYAML"]
    rest = difference(ours, body)
    return spec.changed(overrides=rest) if rest else spec


# --- common --------------------------------------------------------------


def _resource(kind: Kind, name: str, of: ClusterSpec | None, body: Json) -> Json:
    metadata: Json = {"name": name, "labels": {NAME: name}}
    annotations: Json = {}
    if of:
        if of.user:
            metadata["labels"][USER] = label_value(of.user)
            annotations[USER] = of.user
        if of.profile:
            metadata["labels"][PROFILE] = label_value(of.profile)
            annotations[PROFILE] = of.profile
        if of.queue:
            metadata["labels"][QUEUE] = of.queue
        if of.idle_timeout is not None:
            annotations[IDLE_TIMEOUT] = str(of.idle_timeout)
        if of.simulated_gpus:
            annotations[SIMULATED_GPUS] = "true"
    if annotations:
        metadata["annotations"] = annotations
    return {"apiVersion": API_VERSION, "kind": str(kind), "metadata": metadata, "spec": body}


def _bare(value: Any) -> Any:
    """A resource as it was asked for: without nothing, and without the defaults that an API server writes into it."""
    if isinstance(value, dict):
        bare = {key: _bare(item) for key, item in value.items() if item is not None}
        return {key: item for key, item in bare.items() if not _is_default(bare, key)}
    if isinstance(value, list):
        return [_bare(item) for item in value]
    return value


def _is_default(owner: Json, key: str) -> bool:
    """Whether the schema of KubeRay's resources has put it there (``default`` in the custom resource definitions)."""
    if key == "protocol":
        return owner[key] == "TCP" and "containerPort" in owner
    return key == "numOfHosts" and owner[key] == 1 and "groupName" in owner
