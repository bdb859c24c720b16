"""What an administrator offers is what a user gets, and no request passes its limits."""

import jsonschema
import pytest

from jupyter_kuberay import config, profiles
from jupyter_kuberay.errors import InvalidSpec, LimitExceeded, NotFound
from jupyter_kuberay.profiles import Limits, Profile, Request, check, cluster_spec, find, form_schema, read_profiles
from jupyter_kuberay.spec import ClusterSpec

GPU = Profile(
    name="gpu",
    cluster={"head": {"cpu": "2"}, "worker_groups": [{"name": "gpu", "gpus": 1, "cpu": "4", "memory": "16Gi"}]},
    limits=Limits(workers=4, gpus=6, cpu="30", memory="128Gi", images=("rayproject/ray:*",)),
    simulated_gpus="if-none",
)


def ask(**fields):
    return cluster_spec(GPU, Request(name="ada", **fields), user="ada")


def test_a_request_changes_the_profiles_first_group_and_leaves_the_rest():
    spec = ask(workers=3, memory="8Gi")
    (group,) = spec.worker_groups
    assert (group.replicas, group.gpus, str(group.memory), str(group.cpu), str(spec.head.cpu)) == (3, 1, "8Gi", "4", "2")
    assert (spec.profile, spec.user) == ("gpu", "ada")


@pytest.mark.parametrize(
    ("fields", "limit"),
    [
        ({"workers": 5}, "allows 4 workers, and 5"),
        ({"workers": 4, "gpus": 2}, "allows 6 GPUs, and 8"),
        ({"cpu": "29"}, "allows 30 of cpu in all, and 31"),
        ({"memory": "127Gi"}, "allows 128Gi of memory in all, and 129.0Gi"),
        ({"image": "evil/miner:1"}, "does not allow the image 'evil/miner:1'"),
        ({"more": {"worker_groups": [{"name": "a", "replicas": 3}, {"name": "b", "replicas": 3}]}}, "allows 4 workers, and 6"),
        ({"more": {"autoscaling": True, "worker_groups": [{"name": "a", "maximum": 9}]}}, "allows 4 workers, and 9"),
        (
            {"more": {"autoscaling": True, "worker_groups": [{"name": "a", "maximum": 4, "memory": "40Gi"}]}},
            "allows 128Gi of memory in all, and 162.0Gi",
        ),
    ],
)
def test_more_than_a_limit_is_refused_with_the_limit_named(fields, limit):
    with pytest.raises(LimitExceeded) as refused:
        ask(**fields)
    assert limit in refused.value.message
    assert "Profile 'gpu'" in refused.value.message


def test_a_limit_holds_for_a_spec_that_did_not_come_from_the_form():
    with pytest.raises(LimitExceeded):
        check(GPU, ClusterSpec(name="x", worker_groups=[{"replicas": 5}]))


def test_a_limit_cannot_be_dodged_by_claiming_to_be_another():
    spec = ask(more={"name": "bob", "user": "root", "profile": "none"})
    assert (spec.name, spec.user, spec.profile) == ("ada", "ada", "gpu")


def test_a_profile_that_does_not_exist_is_answered_with_those_that_do():
    with pytest.raises(NotFound) as refused:
        find(read_profiles(profiles.DEFAULTS), "tpu")
    assert "'tpu'" in refused.value.message
    assert all(name in refused.value.hint for name in ("cpu-small", "cpu", "gpu"))


@pytest.mark.parametrize(("machine_has_gpus", "simulated"), [(True, False), (False, True)])
def test_gpus_are_simulated_only_where_the_profile_says_so_and_there_are_none(machine_has_gpus, simulated):
    assert cluster_spec(GPU, Request(name="ada"), user="ada", machine_has_gpus=machine_has_gpus).simulated_gpus is simulated
    never = GPU.changed(simulated_gpus="never")
    assert not cluster_spec(never, Request(name="ada"), user="ada", machine_has_gpus=False).simulated_gpus


def test_a_forms_schema_has_the_profiles_defaults_and_limits():
    schema = form_schema(GPU)
    jsonschema.Draft202012Validator.check_schema(schema)
    workers = schema["properties"]["workers"]
    assert (workers["default"], workers["minimum"], workers["maximum"]) == (1, 0, 4)
    assert schema["properties"]["memory"]["default"] == "16Gi"


@pytest.mark.parametrize(
    ("given", "good"),
    [
        ({"name": "ada", "workers": 4, "cpu": "500m"}, True),
        ({"name": "ada", "workers": 5}, False),
        ({"name": "ada", "workers": -1}, False),
        ({"name": "ada", "cpu": "8 G"}, False),
        ({"name": "Ada!"}, False),
        ({"workers": 1}, False),
        ({"name": "ada", "typo": 1}, False),
    ],
)
def test_a_form_refuses_what_the_program_refuses(given, good):
    assert jsonschema.Draft202012Validator(form_schema(GPU)).is_valid(given) is good
    if good:
        assert cluster_spec(GPU, Request(**given), user="ada").name == "ada"
    else:
        with pytest.raises((InvalidSpec, LimitExceeded)):
            cluster_spec(GPU, Request(**given), user="ada")


def test_what_is_offered_without_configuration_makes_clusters():
    for profile in read_profiles(profiles.DEFAULTS):
        spec = cluster_spec(profile, Request(name="ada"), user="ada")
        assert spec.workers >= 1
    assert config.load().offered()[0].name == "cpu-small"


def test_a_profile_that_cannot_work_is_named_when_it_is_read():
    with pytest.raises(InvalidSpec, match=r"Profile 'broken' is not well.*memory"):
        read_profiles([{"name": "broken", "cluster": {"head": {"memory": "lots"}}}])


# --- configuration -------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".json", '{"KubeRay": {"user": "ada", "profiles": [{"name": "mine"}], "default_profile": "mine"}}'),
        (".py", 'c.KubeRay.user = "ada"\nc.KubeRay.profiles = [{"name": "mine"}]\nc.KubeRay.default_profile = "mine"\n'),
    ],
)
def test_what_an_administrator_sets_is_read_from_jupyters_folders(tmp_path, monkeypatch, suffix, text):
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(tmp_path))
    (tmp_path / f"jupyter_kuberay_config{suffix}").write_text(text)
    settings = config.load()
    assert (settings.user, settings.default_profile, [profile.name for profile in settings.offered()]) == ("ada", "mine", ["mine"])


def test_of_two_folders_the_first_wins_and_the_other_still_counts(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", f"{tmp_path / 'strong'}:{tmp_path / 'weak'}")
    for folder, fields in (("strong", '"user": "strong"'), ("weak", '"user": "weak", "default_profile": "gpu"')):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "jupyter_kuberay_config.json").write_text(f'{{"KubeRay": {{{fields}}}}}')
    settings = config.load()
    assert (settings.user, settings.default_profile) == ("strong", "gpu")


def test_a_configuration_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(tmp_path))
    (tmp_path / "jupyter_kuberay_config.py").write_text("c.KubeRay.user = = 1\n")
    with pytest.raises(InvalidSpec, match=r"jupyter_kuberay_config\.py cannot be read"):
        config.load()


def test_limits_hold_without_a_profile_too():
    settings = config.load(limits={"workers": 1})
    with pytest.raises(LimitExceeded, match="allows 1 workers"):
        check(settings.without_profile(), ClusterSpec(name="x", worker_groups=[{"replicas": 2}]))
