"""Which container image a kernel needs, and what an image's tag tells of what is in it. Pure.

Source of the tags: docker/ray in Ray's repository, ``{Ray version}-{Python version}[-{platform}]``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from jupyter_kuberay.accelerators import TPU
from jupyter_kuberay.errors import VersionMismatch

DEFAULT = "rayproject/ray:{ray}-py{python}{gpu}"
PLACEHOLDERS = ("{ray}", "{python}", "{gpu}")

_NAME = re.compile(r"[a-z0-9]([a-zA-Z0-9._:/@-]*[a-zA-Z0-9])?")
_RAY = re.compile(r"v?(?P<ray>\d+\.\d+\.\d+(?:rc\d+)?)(?![\d])")
_PYTHON = re.compile(r"(?:^|[-_.])py(?P<major>3)\.?(?P<minor>\d{1,2})(?![\d])")


def is_name(image: str) -> bool:
    """Whether it can be an image's name, its placeholders filled in."""
    return _NAME.fullmatch(filled(image, "2.58.0", "3.11")) is not None


def filled(template: str, ray: str, python: str, accelerators: Iterable[str] = ()) -> str:
    """The image of a template for Ray ``ray`` ("2.58.0") and Python ``python`` ("3.11").

    ``{ray}`` is Ray's version, ``{python}`` is Python's as in Ray's own tags ("311"), and ``{gpu}`` is "-gpu", "-tpu" or nothing,
    by the names of the resources that the workers ask for.

    >>> filled(DEFAULT, "2.58.0", "3.11", ["nvidia.com/gpu"])
    'rayproject/ray:2.58.0-py311-gpu'
    """
    if template == DEFAULT and "dev" in ray:
        ray = "nightly"
    values = {"{ray}": ray, "{python}": python.replace(".", ""), "{gpu}": _platform(set(accelerators))}
    for placeholder, value in values.items():
        template = template.replace(placeholder, value)
    return template


def _platform(accelerators: set[str]) -> str:
    if not accelerators:
        return ""
    return "-tpu" if accelerators == {TPU} else "-gpu"


def is_made_from(template: str, image: str) -> bool:
    """Whether ``image`` is what `filled` makes of ``template``, for some Ray and Python."""
    pattern = re.escape(template)
    for placeholder, of in zip(PLACEHOLDERS, (r"[^:/@]+", r"\d+", "(-gpu|-tpu)?"), strict=True):
        pattern = pattern.replace(re.escape(placeholder), of)
    return re.fullmatch(pattern, image) is not None


def versions(image: str) -> tuple[str, str]:
    """Ray's version and Python's, such as ("2.58.0", "3.11"), as far as the tag tells; "" for what it does not tell.

    A number alone is Ray's version only where the image is called after Ray; it is its own otherwise.
    """
    name, _, tag = image.partition("@")[0].rpartition("/")[2].partition(":")
    ray, python = _RAY.match(tag), _PYTHON.search(tag)
    of_ray = ray is not None and (name == "ray" or name.startswith(("ray-", "ray_")) or python is not None)
    return ray["ray"] if ray and of_ray else "", f"{python['major']}.{python['minor']}" if python else ""


def check(image: str, ray: str, python: str) -> None:
    """Raise `VersionMismatch` if ``image`` says that it has another Ray than ``ray`` or another Python than ``python`` ("3.11").

    An image whose tag does not tell passes: it is asked when somebody attaches.
    """
    of_ray, of_python = versions(image)
    wrong = [
        f"{what} {there}" for what, there, here in (("Ray", of_ray, ray), ("Python", of_python, python)) if there and here and there != here
    ]
    if wrong:
        raise VersionMismatch(
            f"Image {image!r} has {' and '.join(wrong)}, but this kernel has Ray {ray} and Python {python}.",
            f"Leave the image out for {filled(DEFAULT, ray, python)}, or use a kernel that has the same.",
        )
