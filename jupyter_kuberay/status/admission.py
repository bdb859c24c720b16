"""Why a pod is not let in, from the API server's words: quota, bounds, Pod Security, webhooks.

Source: the messages of Kubernetes 1.30 to 1.34 (plugin/pkg/admission), as KubeRay hands them on in events and conditions.
"""

from __future__ import annotations

import re

from jupyter_kuberay.status.values import Cause

_BEFORE = re.compile(r"^Failed\w+(?:\s+|: )|^Failed to create .*?, (?=\w+ \")", re.DOTALL)
_QUOTA = re.compile(r"exceeded quota: (?P<name>\S+), requested: (?P<asked>\S+), used: (?P<used>\S+), limited: (?P<most>\S+)")
_SECURITY = re.compile(r"violates PodSecurity \"(?P<level>[^\"]+)\": (?P<why>.*)", re.DOTALL)
_WEBHOOK = re.compile(r"admission webhook \"(?P<name>[^\"]+)\" denied the request(?: without explanation|: (?P<words>.*))", re.DOTALL)
_FORBIDDEN = re.compile(r"pods? \"[^\"]*\" is forbidden: (?P<why>.*)", re.DOTALL)

_ASK_LESS = "Ask for less, or ask your administrator for a larger quota."


def explained(message: str) -> tuple[Cause, bool]:
    """The cause, and whether waiting does not mend it."""
    words = _BEFORE.sub("", message.strip()).strip()
    if quota := _QUOTA.search(words):
        return Cause(what=_short_of(quota), remedy=_ASK_LESS), False
    if security := _SECURITY.search(words):
        level = security["level"].partition(":")[0]
        remedy = "Say pod_security='restricted'." if level == "restricted" else "Ask your administrator what the namespace takes."
        return Cause(what=f"The namespace takes only pods of Pod Security level {level!r}: {security['why']}", remedy=remedy), False
    if webhook := _WEBHOOK.search(words):
        why = (webhook["words"] or "it gives no reason").strip()
        return Cause(
            what=f"The cluster's admission webhook {webhook['name']!r} refuses the pod: {why}", remedy="Change it as it says."
        ), False
    if " is invalid: " in words:
        return Cause(what=words, remedy="Change the request: Kubernetes makes no such pod."), True
    why = found["why"] if (found := _FORBIDDEN.search(words)) else ""
    if "per Container" in why or "per Pod" in why:
        return Cause(what=f"The namespace's bounds do not allow it: {why}", remedy="Ask for nodes within these bounds."), False
    if "service account" in why:
        return Cause(what=why, remedy="Name a service account that exists, or leave it out."), False
    if not words:
        return Cause(
            what="A pod cannot be made, and no reason is given.", remedy="Ask your administrator; the operator's log may tell."
        ), False
    return Cause(what=words, remedy=_ASK_LESS), False


def _short_of(quota: re.Match[str]) -> str:
    used, most = _amounts(quota["used"]), _amounts(quota["most"])
    short = [
        f"{name}={asked} with {used.get(name, '?')} of {most.get(name, '?')} in use" for name, asked in _amounts(quota["asked"]).items()
    ]
    return f"The namespace's quota {quota['name']!r} has no room for another pod: it needs {', '.join(short)}."


def _amounts(text: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in text.rstrip(",.;").split(",") if "=" in part)
