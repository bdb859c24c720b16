"""What profiles bring that can be wrong: images, kinds of GPU, claims. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jupyter_kuberay import images
from jupyter_kuberay.doctor.finding import Finding, bad, ok, unseen
from jupyter_kuberay.preflight import Versions
from jupyter_kuberay.profiles import Profile
from jupyter_kuberay.spec import ClusterSpec


@dataclass(frozen=True)
class Offer:
    """What one profile brings."""

    profile: str
    image: str
    gpus: frozenset[str] = frozenset()  # names of the resources, such as "nvidia.com/gpu"
    claims: frozenset[str] = frozenset()  # names of the PersistentVolumeClaims that its pods mount
    route: str = ""  # the kind by which it exposes services


def offers(profiles: Iterable[Profile], kernel: Versions) -> tuple[Offer, ...]:
    """What each profile brings to a user with this kernel."""
    return tuple(_offer(profile, kernel) for profile in profiles)


def _offer(profile: Profile, kernel: Versions) -> Offer:
    spec = ClusterSpec(**profile.cluster | {"name": "x"}).resolved(kernel.ray, kernel.python_minor)
    volumes = [volume for pod in (spec.head, *spec.worker_groups) for volume in pod.volumes]
    return Offer(
        profile=profile.name,
        image=spec.image,
        gpus=frozenset(group.gpu_resource for group in spec.worker_groups if group.gpus),
        claims=frozenset(volume.claim for volume in volumes if volume.claim),
        route=profile.exposure.kind if profile.exposure else "",
    )


def fitting(offered: Iterable[Offer], kernel: Versions) -> list[Finding]:
    """Whether what would be started fits this kernel; what differs cannot be attached to."""
    good, found = [], []
    by_image: dict[str, list[str]] = {}
    for offer in offered:
        by_image.setdefault(offer.image, []).append(offer.profile)
    for image, profiles in by_image.items():
        there = Versions(*images.versions(image))
        which = f"{image} (profile {', '.join(profiles)})"
        if (there.ray and there.ray != kernel.ray) or (there.python and there.python_minor != kernel.python_minor):
            remedy = f"Use a kernel with {there}, or ask your administrator to leave the profile's image out: then it follows the kernel."
            found.append(bad("image", f"{which} has {there}, but this kernel has {kernel}: it cannot be attached.", remedy))
        elif there.ray and there.python:
            good.append(image)
        else:
            found.append(unseen("image", f"The name of {which} does not tell its Ray and Python; they are compared when you attach."))
    return [*([ok("image", f"What profiles start fits this kernel's {kernel}: {', '.join(good)}.")] if good else []), *found]
