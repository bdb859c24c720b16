"""What a RayService is doing.

KubeRay keeps the cluster that answers in ``activeServiceStatus``. One that is being made, be it the first or another one after a
change of the pods, is in ``pendingServiceStatus``, and while it is there, all that is asked for goes to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache

import yaml

from jupyter_kuberay import scaling
from jupyter_kuberay.observation import Json, Node, Observation
from jupyter_kuberay.status import causes
from jupyter_kuberay.status.causes import SERVE_IS_MISSING, Finding
from jupyter_kuberay.status.observed import (
    common,
    elapsed,
    is_accepted,
    is_being_deleted,
    is_head_ready,
    is_ignored,
    is_on_kubernetes,
    is_true,
    not_here,
    of_group,
    pods_and_gpus,
    wanted_workers,
)
from jupyter_kuberay.status.values import ApplicationStatus, Cause, Phase, ServiceStatus

BROKEN = ("DEPLOY_FAILED", "UNHEALTHY")
_NAMES_DEPLOYMENTS = "Failed to update the deployments"  # and no more, in Serve's message of an application whose replicas fail
_SERVE_BEGINS = timedelta(seconds=60)  # with the applications, after the head is up


def service_status(seen: Observation, now: datetime | None = None) -> ServiceStatus:
    """Judge a RayService by its applications, its conditions, and the nodes below it."""
    active, pending = (seen.status.get(key) or {} for key in ("activeServiceStatus", "pendingServiceStatus"))
    applications = _applications(seen, active) or _applications(seen, pending)
    broken = [application for application in applications if application.state in BROKEN]
    ready = is_true(seen, "Ready")
    trouble = _trouble(seen, broken, now)
    phase = _phase(seen, ready, bool(applications), trouble, bool(broken))
    main = _main_user_config(seen)
    cause = (_beside(seen, trouble) if trouble and ready else trouble.cause if trouble else None) or _progress(seen, applications)
    return ServiceStatus(
        **common(seen),
        phase=phase,
        revision=main["revision"] if isinstance(main.get("revision"), int) else None,
        model=str(main.get("model", "")),
        applications=applications,
        cluster=_name(active) or _name(pending),
        settled=ready and _is_settled(seen, active, pending),
        cause=cause if phase not in (Phase.READY, Phase.SUSPENDED, Phase.STOPPING) else None,
        notes=not_here(seen) + _second_cluster(seen, _name(active), _name(pending)),
    )


def _phase(seen: Observation, ready: bool, deployed: bool, trouble: Finding | None, broken: bool) -> Phase:
    if is_being_deleted(seen):
        return Phase.STOPPING
    if seen.spec.get("suspend"):
        return Phase.SUSPENDED
    if ready:
        return Phase.DEGRADED if trouble else Phase.READY
    if trouble and (broken or trouble.hopeless):
        return Phase.FAILED
    return Phase.STARTING if deployed or any(node.ready for node in seen.nodes) else Phase.PENDING


def _is_settled(seen: Observation, active: Json, pending: Json) -> bool:
    """Whether the cluster that answers has what was asked for last, and no other one is on its way.

    KubeRay takes note of a change before Serve has made it, and of what Serve says some seconds after: who has just changed
    something asks Serve as well.
    """
    states = {name: state.get("status") for name, state in (active.get("applicationStatuses") or {}).items()}
    wanted = {str(application.get("name", "default")) for application in _asked_for(seen)}
    # One that nobody has looked at yet has no observedGeneration.
    looked_at = seen.status.get("observedGeneration", 0) == seen.resource["metadata"].get("generation", 0)
    return looked_at and not _name(pending) and set(states.values()) == {"RUNNING"} and wanted <= set(states)


# --- what is wrong -------------------------------------------------------


def _trouble(seen: Observation, broken: Sequence[ApplicationStatus], now: datetime | None) -> Finding | None:
    """What is wrong; of a service that answers, what keeps it from what was asked for last."""
    active, pending = _names(seen)
    ready = is_true(seen, "Ready")
    if broken:
        return Finding(_of_application(broken[0]))
    found = causes.of_readiness(seen) or causes.of_refusal(seen)
    if ready and not pending:
        # A cluster that answers may lack workers without a loss; Serve says so where it matters.
        return found or (None if is_accepted(seen) else _of_config(seen) or causes.of_events(seen, seen.nodes, (active,)))
    nodes = _nodes_of_the_newer(seen)
    part = seen.status.get("pendingServiceStatus" if pending else "activeServiceStatus") or {}
    return (
        found
        or _of_config(seen)
        or causes.of_nodes(nodes, seen.events, wanted_workers(seen.spec.get("rayClusterConfig") or {}))
        or causes.of_replicas(part.get("rayClusterStatus") or {})
        or causes.of_events(seen, nodes, filter(None, (pending or active,)))
        or (causes.of_silence(seen) if is_ignored(seen, now) else None)
        or _of_idle_serve(part, nodes, now)
    )


def _of_application(first: ApplicationStatus) -> Cause:
    what = f"Application {first.name!r} is {first.state}: {first.message or 'no reason is given'}"
    if SERVE_IS_MISSING in first.message:
        return Cause(what=what, remedy="Take an image that has ray[serve] and what that needs.")
    return Cause(what=what, remedy="Mend the application and publish it again; the error is its own.")


def _of_config(seen: Observation) -> Finding | None:
    """KubeRay makes a cluster for a configuration that is none, and says nowhere why nothing more comes of it."""
    if not is_on_kubernetes(seen):
        return None  # there the condition tells
    what = _parsed(str(seen.spec.get("serveConfigV2") or ""))[1]
    return Finding(Cause(what=what, remedy="Correct serveConfigV2 as it says."), True) if what else None


def _of_idle_serve(part: Json, nodes: Sequence[Node], now: datetime | None) -> Finding | None:
    started = max((node.started for node in of_group(nodes, "head") if node.ready), default="")
    if part.get("applicationStatuses") or elapsed(started, now) < _SERVE_BEGINS:
        return None
    what = "The head has been up for a while, and Serve has not begun with the applications."
    return Finding(Cause(what=what, remedy="Look at the head's log and dashboard: its image may lack ray[serve], or what that needs."))


def _beside(seen: Observation, trouble: Finding) -> Cause:
    active, pending = _names(seen)
    if not (active and pending):
        return trouble.cause
    what = f"The new cluster {pending} does not take over from {active}, which still answers. {trouble.cause.what}"
    return Cause(what=what, remedy=f"{trouble.cause.remedy} Until then both clusters keep their pods.")


def _progress(seen: Observation, applications: Sequence[ApplicationStatus]) -> Cause:
    nodes = _nodes_of_the_newer(seen)
    unfinished = next((application for application in applications if application.state != "RUNNING"), None)
    if unfinished:
        what = f"Application {unfinished.name!r} is {unfinished.state}."
    elif nodes and not is_head_ready(nodes):
        what = "The head is starting."
    else:
        what = "The head is up, and Serve begins." if nodes else "It is starting."
    return Cause(what=what, remedy="Wait; the log of the head tells more.")


# --- its clusters and applications ---------------------------------------


def _name(part: Json) -> str:
    return str(part.get("rayClusterName") or "")


def _names(seen: Observation) -> tuple[str, str]:
    """The cluster that answers, and the one that is being made; "" where there is none."""
    return _name(seen.status.get("activeServiceStatus") or {}), _name(seen.status.get("pendingServiceStatus") or {})


def _nodes_of_the_newer(seen: Observation) -> tuple[Node, ...]:
    active, pending = _names(seen)
    if not (active and pending):
        return seen.nodes
    return tuple(node for node in seen.nodes if not node.name.startswith(f"{active}-"))


def second_cluster(seen: Observation) -> str:
    """The cluster that is being made beside the one that answers; "" when there is none."""
    active, pending = _names(seen)
    return pending if active else ""


def _second_cluster(seen: Observation, active: str, pending: str) -> tuple[str, ...]:
    if not (active and pending):
        return ()
    cost = pods_and_gpus(seen.spec.get("rayClusterConfig") or {})
    return (f"A second cluster, {pending}, is made beside {active} and takes over once it answers; until then it needs {cost} more.",)


def _applications(seen: Observation, part: Json) -> tuple[ApplicationStatus, ...]:
    found = part.get("applicationStatuses") or {}
    return tuple(
        ApplicationStatus(name=name, state=str(state.get("status") or ""), message=application_message(state), **_asked_of(seen, name))
        for name, state in sorted(found.items())
    )


def _asked_of(seen: Observation, name: str) -> Json:
    """What an application is asked to run, and where, and how many of it."""
    config = next((each for each in _asked_for(seen) if each.get("name", "default") == name), None)
    if config is None:
        return {}  # it is on its way out
    given = _user_config(config)
    listed = config.get("deployments") if isinstance(config.get("deployments"), list) else []
    deployments = [each for each in listed or [] if isinstance(each, dict)]
    main: Json = next((each for each in deployments if isinstance(each.get("user_config"), dict)), deployments[0] if deployments else {})
    return {
        "revision": given["revision"] if isinstance(given.get("revision"), int) else None,
        "model": str(given.get("model", "")),
        "route_prefix": str(config.get("route_prefix") or "/"),
        "replicas": scaling.read(main).words,
    }


def application_message(state: Json) -> str:
    """What an application's state (KubeRay's, or Serve's own) says: its own message, or where that names deployments only, theirs."""
    deployments = state.get("serveDeploymentStatuses") or state.get("deployments") or {}
    unhappy = [str(part.get("message") or "") for part in deployments.values() if part.get("status") not in ("HEALTHY", None)]
    own = str(state.get("message") or "")
    return next(filter(None, unhappy), own) if own.startswith(_NAMES_DEPLOYMENTS) or not own else own


@lru_cache(maxsize=32)  # it may hold an application's whole code, and is the same from one change of a status to the next
def _parsed(text: str) -> tuple[tuple[Json, ...], str]:
    """The applications that ``serveConfigV2`` asks for, and what is wrong with it; not to be changed."""
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        return (), f"serveConfigV2 is not YAML: {getattr(error, 'problem', None) or 'it cannot be read'}{where}."
    applications = config.get("applications") if isinstance(config, dict) else None
    if not isinstance(applications, list):
        return (), "serveConfigV2 has no list 'applications'."
    return tuple(application for application in applications if isinstance(application, dict)), ""


def _asked_for(seen: Observation) -> tuple[Json, ...]:
    return _parsed(str(seen.spec.get("serveConfigV2") or ""))[0]


def _main_user_config(seen: Observation) -> Json:
    """What says which revision and model it is, of the application that is called like the service, or else of the first that has any."""
    applications = sorted(_asked_for(seen), key=lambda each: each.get("name") != seen.name)
    return next((given for each in applications if (given := _user_config(each))), {})


def _user_config(application: Json) -> Json:
    """What its deployments are given; where none takes any, what the application is built with."""
    listed, args = application.get("deployments"), application.get("args")
    deployments = [part for part in listed if isinstance(part, dict)] if isinstance(listed, list) else []
    given = [part.get("user_config") for part in deployments] + [args.get("settings") if isinstance(args, dict) else None]
    return next((each for each in given if isinstance(each, dict)), {})
