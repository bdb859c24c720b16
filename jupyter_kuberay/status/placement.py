"""Why a pod finds no place, from the scheduler's words.

Source: the messages of kube-scheduler 1.30 to 1.34 (framework.FitError and its plugins' reasons).
"""

from __future__ import annotations

import re

_WORDS = re.compile(r"0/(?P<nodes>\d+) nodes are available: (?P<reasons>.*?)\.(?:\s+(?P<rest>.*))?", re.DOTALL)
_REASON = re.compile(r"(?P<count>\d+) (?P<what>.+?)(?=, \d+ |$)")
_TAINT = re.compile(r"node\(s\) had untolerated taint(?:\(s\))?(?: \{(?P<key>[^:}]*): ?(?P<value>[^}]*)\})?")
_COUNTED_BY_SIZE = ("cpu", "memory", "ephemeral-storage")
# What the rest of the message says of preemption helps nobody who cannot preempt.
_PREEMPTION = re.compile(r"(no new claims to deallocate, )?preemption:.*", re.DOTALL)

_NODES_OWN_TAINTS = {
    "node-role.kubernetes.io/control-plane": ("is kept for the control plane", "are kept for the control plane"),
    "node-role.kubernetes.io/master": ("is kept for the control plane", "are kept for the control plane"),
    "node.kubernetes.io/not-ready": ("is not ready", "are not ready"),
    "node.kubernetes.io/unreachable": ("is not reachable", "are not reachable"),
    "node.kubernetes.io/unschedulable": ("is cordoned", "are cordoned"),
    "node.kubernetes.io/memory-pressure": ("is short of memory", "are short of memory"),
    "node.kubernetes.io/disk-pressure": ("is short of disk", "are short of disk"),
}
_KNOWN = {
    "node(s) didn't match Pod's node affinity/selector": ("does not match its node selector", "do not match its node selector"),
    "node(s) were unschedulable": ("is cordoned", "are cordoned"),
    "Too many pods": ("has no room for another pod", "have no room for another pod"),
    "node(s) had volume node affinity conflict": ("cannot reach its volume", "cannot reach its volume"),
}
_SELECTOR = "node(s) didn't match Pod's node affinity/selector"

_LESS = "Ask for less, wait for others to finish, or choose another profile."


def explained(message: str) -> tuple[str, str]:
    """Why there is no place, and what helps.

    >>> explained("0/3 nodes are available: 3 Insufficient nvidia.com/gpu. preemption: …")
    ('0/3 nodes have nvidia.com/gpu free.', 'Ask for less, wait for others to finish, or choose another profile.')
    """
    if message.startswith("no nodes available"):
        return "there are no nodes.", "Wait for nodes to come, or ask your administrator."
    found = _WORDS.fullmatch(message.strip())
    if found is None:
        return message, _LESS
    reasons = [(int(reason["count"]), reason["what"]) for reason in _REASON.finditer(found["reasons"])]
    if not reasons:
        return _about_its_volumes(found["reasons"])
    nodes, rest = int(found["nodes"]), _PREEMPTION.sub("", found["rest"] or "").strip()
    lacking = {what.removeprefix("Insufficient "): count for count, what in reasons if what.startswith("Insufficient ")}
    taints = [key for _, what in reasons if (key := _taint(what)) and key.partition("=")[0] not in _NODES_OWN_TAINTS]
    others = [_told(count, what) for count, what in reasons if not what.startswith("Insufficient ")]
    return _sentence(nodes, lacking, others, rest), _remedy(lacking, taints, any(what == _SELECTOR for _, what in reasons))


def _sentence(nodes: int, lacking: dict[str, int], others: list[str], rest: str) -> str:
    if not lacking:
        return f"0/{nodes} nodes take it: {', '.join(others)}.{f' {rest}' if rest else ''}"
    enough = "enough " if set(lacking) & set(_COUNTED_BY_SIZE) else ""
    what = f"0/{nodes} nodes have {enough}{_listed([*lacking])} free"
    if len(lacking) == 1 and not others and [*lacking.values()] == [nodes]:
        return f"{what}{f': {rest}' if rest else '.'}"
    short = [f"{resource} is short on {count}" for resource, count in lacking.items()]
    return f"{what} for it: {', '.join([*short, *others])}.{f' {rest}' if rest else ''}"


def _remedy(lacking: dict[str, int], taints: list[str], selected: bool) -> str:
    if taints:
        first = "Ask for less, wait for others to finish, or let" if lacking else "Let"
        return f"{first} the group tolerate the taint {taints[0]}: see its tolerations."
    if lacking:
        return _LESS
    if selected:
        return "Correct node_selector, or choose another profile: no free node has these labels."
    return "Wait until nodes are free again, or ask your administrator."


def _about_its_volumes(why: str) -> tuple[str, str]:
    if "not found" in why:
        return f"{why}.", "Make the claim first, or correct its name in volumes."
    if "unbound" in why:
        return f"{why}.", "Look at the claim: nothing gives it a volume."
    return f"{why}.", _LESS


def _told(count: int, what: str) -> str:
    one = count == 1
    key = _taint(what)
    if key:
        own = _NODES_OWN_TAINTS.get(key.partition("=")[0])
        words = own or (f"has the taint {key}, which it does not tolerate", f"have the taint {key}, which it does not tolerate")
        return f"{count} {words[0] if one else words[1]}"
    words = _KNOWN.get(what) or (what, what)
    return f"{count} {words[0] if one else words[1]}"


def _taint(what: str) -> str:
    """Its key, with its value where that says something; "" for what is no taint."""
    found = _TAINT.fullmatch(what)
    if found is None or not found["key"]:
        return ""
    return found["key"] + (f"={found['value']}" if found["value"] not in ("", "true", "present") else "")


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
