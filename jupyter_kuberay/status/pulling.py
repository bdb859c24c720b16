"""Why an image is not pulled, from the container runtime's words.

Source: the messages of containerd 1.7 and 2, CRI-O, and the registries, as the kubelet hands them on.
"""

from __future__ import annotations

import re

_IMAGE = re.compile(r"image \"(?P<name>[^\"]+)\"")
_CHECK = "Check the image's name and tag, and that the cluster may pull it."

# The first that is found counts: Docker Hub says "denied" of what is not there.
_SIGNS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        ("may require", "insufficient_scope"),
        "there is no {image}, or it cannot be had without a login.",
        _CHECK,
    ),
    (
        ("no match for platform", "no matching manifest", "exec format"),
        "{image} is not made for these nodes' processors.",
        "Choose an image for them.",
    ),
    (("not found", "NotFound", "manifest unknown", "name unknown"), "there is no {image}.", "Check the image's name and tag."),
    (
        ("denied", "unauthorized", "authorization", "authentication", "Forbidden"),
        "the registry does not give {image} to this cluster.",
        "Check the image's name, or give the pods a pull secret for its registry.",
    ),
    (
        ("toomanyrequests", "rate limit", "429"),
        "the registry has had too many requests for now.",
        "Wait, or take the image from another registry.",
    ),
    (
        ("no such host", "i/o timeout", "connection refused", "dial tcp", "deadline exceeded", "x509"),
        "the registry of {image} cannot be reached from the nodes.",
        "Wait, correct the image's name, or ask your administrator.",
    ),
)


def explained(messages: list[str]) -> tuple[str, str]:
    """Why, and what helps. ``messages``: what is said about the pod, what says most first."""
    image = next((found["name"] for message in messages if (found := _IMAGE.search(message))), "the image")
    for message in messages:
        for signs, what, remedy in _SIGNS:
            if any(sign in message for sign in signs):
                return what.format(image=image), remedy
    return next(filter(None, messages), f"it cannot pull {image}."), _CHECK
