"""The image fits the kernel, whoever chose it, and one that cannot is refused before anything starts."""

import pytest

from jupyter_kuberay import images
from jupyter_kuberay.errors import InvalidSpec, LimitExceeded, VersionMismatch
from jupyter_kuberay.profiles import Limits, Profile, Request, check, cluster_spec
from jupyter_kuberay.spec import ClusterSpec

HERE = ("2.58.0", "3.11")


@pytest.mark.parametrize(
    ("image", "ray", "python"),
    [
        ("rayproject/ray:2.58.0-py311", "2.58.0", "3.11"),
        ("rayproject/ray:2.58.0-py311-gpu", "2.58.0", "3.11"),
        ("rayproject/ray-ml:2.7.0-py39-cu118", "2.7.0", "3.9"),
        ("quay.example/modh/ray:2.52.1-py312-cu128", "2.52.1", "3.12"),
        ("mirror.example:5000/rayproject/ray:2.58.0", "2.58.0", ""),
        ("rayproject/ray:2.9.0.abc123-py310", "2.9.0", "3.10"),
        ("rayproject/ray:nightly-py312", "", "3.12"),
        ("rayproject/ray:latest", "", ""),
        ("rayproject/ray", "", ""),
        ("rayproject/ray@sha256:" + "0" * 64, "", ""),
        ("rayproject/ray:2.58.0-py311@sha256:" + "0" * 64, "2.58.0", "3.11"),
        ("team/summarizer:2.58.0-py311", "2.58.0", "3.11"),
        ("team/summarizer:1.4.0", "", ""),  # its own version
        ("team/summarizer:2025.11.3", "", ""),
        ("team/arrays:1", "", ""),
        ("registry.example:5000/ray", "", ""),
    ],
)
def test_a_tag_tells_rays_version_and_pythons_where_it_is_about_them(image, ray, python):
    assert images.versions(image) == (ray, python)


@pytest.mark.parametrize(
    "image", ["rayproject/ray:2.58.0-py311", "rayproject/ray:2.58.0-py311-gpu", "rayproject/ray:latest", "team/summarizer:1.4.0", "x"]
)
def test_an_image_that_fits_or_does_not_tell_passes(image):
    images.check(image, *HERE)


@pytest.mark.parametrize(
    ("image", "told"),
    [
        ("rayproject/ray:2.7.0-py310", "has Ray 2.7.0 and Python 3.10, but this kernel has Ray 2.58.0 and Python 3.11."),
        ("rayproject/ray:2.58.0-py312", "has Python 3.12, but this kernel"),
        ("team/summarizer:2.55.1-py311", "has Ray 2.55.1, but this kernel"),
    ],
)
def test_an_image_of_another_ray_or_python_is_refused_by_its_tag(image, told):
    with pytest.raises(VersionMismatch) as refused:
        images.check(image, *HERE)
    assert told in refused.value.message and image in refused.value.message
    assert "rayproject/ray:2.58.0-py311" in refused.value.hint


@pytest.mark.parametrize(
    ("groups", "image"),
    [
        ([], "rayproject/ray:2.58.0-py311"),
        ([{"gpus": 1}], "rayproject/ray:2.58.0-py311-gpu"),
        ([{"name": "a"}, {"name": "b", "gpus": 1, "gpu_resource": "nvidia.com/mig-1g.5gb"}], "rayproject/ray:2.58.0-py311-gpu"),
        ([{"gpus": 4, "gpu_resource": "google.com/tpu"}], "rayproject/ray:2.58.0-py311-tpu"),
    ],
)
def test_the_default_image_is_rays_own_for_the_kernel_and_the_workers(groups, image):
    assert ClusterSpec(name="ada", worker_groups=groups).resolved(*HERE).image == image


def test_a_development_version_of_ray_is_found_in_its_nightly_image():
    assert ClusterSpec(name="ada").resolved("3.0.0.dev0", "3.12").image == "rayproject/ray:nightly-py312"


def test_a_profiles_image_is_filled_in_for_whoever_asks():
    profile = Profile(
        name="team", cluster={"image": "registry.example:5000/team/ray:{ray}-py{python}{gpu}", "worker_groups": [{"gpus": 1}]}
    )
    spec = cluster_spec(profile, Request(name="ada"), user="ada")
    assert spec.resolved("2.58.0", "3.11").image == "registry.example:5000/team/ray:2.58.0-py311-gpu"
    assert spec.resolved("2.55.1", "3.12").image == "registry.example:5000/team/ray:2.55.1-py312-gpu"


def test_a_placeholder_that_nobody_fills_in_is_refused():
    with pytest.raises(InvalidSpec, match="not an image's name"):
        ClusterSpec(name="ada", image="team/ray:{version}")


def test_a_profiles_own_image_is_allowed_whatever_its_limits_say_also_once_it_is_filled_in():
    """Who scales a cluster that is there asks for what was filled in."""
    template = Profile(name="t", cluster={"image": "team/ray:{ray}-py{python}"}, limits=Limits(images=("other/*",)))
    for image in ("team/ray:{ray}-py{python}", "team/ray:2.58.0-py311", "other/ray:1", ""):
        check(template, ClusterSpec(name="ada", image=image))
    for image in ("team/ray:2.58.0-py311-evil", "team/ray:2.58.0-py311/x", "rayproject/ray:2.58.0-py311"):
        with pytest.raises(LimitExceeded):
            check(template, ClusterSpec(name="ada", image=image))
    check(Profile(name="d", limits=Limits(images=("other/*",))), ClusterSpec(name="ada").resolved(*HERE))
