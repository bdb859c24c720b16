"""Findings about a user's namespace on a Kubernetes cluster: the way there, and what they may do. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from jupyter_kuberay.backends.kuberay import rights
from jupyter_kuberay.backends.kuberay.answers import Answers, Target, User
from jupyter_kuberay.backends.kuberay.rights import Allowed, Purpose, Right
from jupyter_kuberay.doctor import gpus, kuberay
from jupyter_kuberay.doctor.finding import Finding, bad, broken, ok, unseen, warning
from jupyter_kuberay.doctor.offers import Offer, fitting
from jupyter_kuberay.errors import Forbidden, KubeRayError, NotFound
from jupyter_kuberay.observation import Json
from jupyter_kuberay.preflight import Versions

_SKEW_S = 120.0  # fresh tokens and certificates are refused beyond about that
_NOBODY = "system:anonymous"
_CANNOT_WORK_WITHOUT = (Purpose.CLUSTERS, Purpose.TUNNEL)


def findings(answers: Answers, kernel: Versions, offered: tuple[Offer, ...]) -> tuple[Finding, ...]:
    here = fitting(offered, kernel)
    target = answers.target
    if isinstance(target, KubeRayError):
        return (broken("user" if isinstance(target, Forbidden) else "API server", target), *here)
    if isinstance(answers.version, KubeRayError) and not isinstance(answers.version, Forbidden):
        return (broken("API server", answers.version), *here)
    server = ok("API server", f"{target.host} answers{_version(answers)}.")
    if isinstance(answers.user, Forbidden):
        return (server, broken("user", answers.user), *here)
    found = [
        server,
        _user(answers.user),
        *_clock(answers),
        _namespace(answers, target),
        kuberay.definitions(answers),
        kuberay.operator(answers),
        *_rights(answers, target),
        *_network(answers, target),
        *gpus.findings(answers, offered),
        *here,
        *_storage(answers, offered),
    ]
    return tuple(found)


def _version(answers: Answers) -> str:
    return f" (Kubernetes {answers.version})" if isinstance(answers.version, str) else ""


def _user(user: User | KubeRayError) -> Finding:
    if isinstance(user, KubeRayError):
        return unseen("user", "The API server does not tell who you are.")
    if user.name == _NOBODY:
        return bad("user", "The API server takes you for nobody: your kubeconfig has no login.", "Log in as for kubectl, and try again.")
    groups = [group for group in user.groups if group != "system:authenticated"]
    return ok("user", f"You are {user.name}{' of ' + ', '.join(groups) if groups else ''}.")


def _clock(answers: Answers) -> list[Finding]:
    if answers.now is None or answers.here is None:
        return []
    seconds = (answers.here - answers.now).total_seconds()
    if abs(seconds) < _SKEW_S:
        return []
    what = f"This machine's clock is {abs(seconds) / 60:.0f} min {'ahead of' if seconds > 0 else 'behind'} the API server's."
    return [warning("clock", what, "Set it right: logins may be refused, and ages are wrong.")]


def _namespace(answers: Answers, target: Target) -> Finding:
    found, name = answers.namespace, target.namespace
    if isinstance(found, NotFound):
        remedy = "Ask your administrator for it, or take another: kubectl config set-context --current --namespace NAME"
        return bad("namespace", f"There is no namespace {name!r}.", remedy, _yaml([_namespace_object(name)]))
    if isinstance(found, dict) and (found.get("status") or {}).get("phase") == "Terminating":
        return bad("namespace", f"Namespace {name!r} is being deleted.", "Wait until it is gone and made again, or take another.")
    source = "that of this pod" if target.inside else f"by context {target.context!r}" if target.context else "the default"
    return ok("namespace", f"Clusters go to {name!r}, {source}.")


def _namespace_object(name: str) -> Json:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


# --- rights --------------------------------------------------------------


def _rights(answers: Answers, target: Target) -> list[Finding]:
    if isinstance(answers.allowed, KubeRayError):
        return [unseen("rights", f"What you may do cannot be asked: {answers.allowed.message}")]
    # Inside the cluster nobody needs a tunnel.
    lacking = [right for right in answers.allowed.lacking if not (target.inside and right.purpose is Purpose.TUNNEL)]
    user = answers.user.name if isinstance(answers.user, User) else ""
    role = _yaml(rights.role(target.namespace, user, answers.allowed.needed))
    found = [_lacks(purpose, [right for right in lacking if right.purpose is purpose], target, role) for purpose in Purpose]
    told = [one for one in found if one is not None]
    # Once is enough.
    told = [one if index == 0 else one.model_copy(update={"manifest": ""}) for index, one in enumerate(told)]
    return told + _secrets(answers.allowed) or [ok("rights", f"You may do all that is needed in {target.namespace!r}.")]


def _lacks(purpose: Purpose, lacking: list[Right], target: Target, role: str) -> Finding | None:
    if not lacking:
        return None
    what = f"Rights that lack in {target.namespace!r} for {purpose}: {'; '.join(map(str, lacking))}."
    remedy = f"Give your administrator the Role {rights.ROLE}, which allows it."
    return (bad if purpose in _CANNOT_WORK_WITHOUT else warning)("rights", what, remedy, role)


def _secrets(allowed: Allowed) -> list[Finding]:
    if not allowed.secrets:
        return []
    what = f"Of the Secrets you may get only {', '.join(allowed.secrets)}; a cluster's token is in one that is called like the cluster."
    return [warning("rights", what, "Name clusters so, or ask for the right to get Secrets of your namespace.")]


# --- the way to a cluster ------------------------------------------------


def _network(answers: Answers, target: Target) -> list[Finding]:
    if target.inside:
        if isinstance(answers.dns, KubeRayError):
            return [broken("DNS", answers.dns)]
        return [ok("DNS", f"The cluster's names have addresses (kubernetes.default.svc is {answers.dns}).")]
    if isinstance(answers.tunnel, Forbidden):
        return []  # the rights tell it
    if isinstance(answers.tunnel, KubeRayError):
        return [broken("tunnel", answers.tunnel)]
    if answers.tunnel is None:
        return [unseen("tunnel", "No head runs to which one could be opened.", "Bring a cluster up, and look again.")]
    return [ok("tunnel", f"One to pod {answers.tunnel!r} could be opened through the API server.")]


# --- weights -------------------------------------------------------------


def _storage(answers: Answers, offered: Iterable[Offer]) -> list[Finding]:
    if not answers.claims:
        return [ok("storage", "No profile mounts a claim: weights come by URI, or with the image.")]
    return [_claim(name, claim, [offer.profile for offer in offered if name in offer.claims]) for name, claim in answers.claims.items()]


def _claim(name: str, claim: Json | KubeRayError, profiles: list[str]) -> Finding:
    which = f"The claim {name!r} (profile {', '.join(profiles)})"
    if isinstance(claim, NotFound):
        return bad("storage", f"{which} is not in your namespace: pods would wait for it for ever.", "Ask your administrator for it.")
    if isinstance(claim, KubeRayError):
        return unseen("storage", f"{which} is not yours to see.")
    phase = (claim.get("status") or {}).get("phase")
    size = ((claim.get("status") or {}).get("capacity") or {}).get("storage", "")
    if phase == "Lost":
        return bad("storage", f"{which} has lost its volume.", "Ask your administrator.")
    if phase != "Bound":
        return warning(
            "storage", f"{which} is {phase or 'not bound'}.", "It may wait for its first pod; if that waits, ask your administrator."
        )
    return ok("storage", f"{which} is bound{', with ' + size if size else ''}.")


def _yaml(objects: list[Json]) -> str:
    import yaml

    return str(yaml.safe_dump_all(objects, sort_keys=False, default_flow_style=None, width=120))
