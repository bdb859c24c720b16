"""From a manifest to the command lines that KubeRay would give its pods."""

from __future__ import annotations

from typing import Any

import pytest

from jupyter_kuberay.backends.local.launching import telling
from jupyter_kuberay.backends.local.nodes import (
    Group,
    environment,
    head_command,
    head_group,
    inherited,
    quantity,
    store_memory,
    unquoted,
    worker_command,
    worker_groups,
)
from jupyter_kuberay.backends.local.ports import NAMES
from jupyter_kuberay.backends.local.unsupported import only_on_kubernetes


def group(
    limits: dict[str, Any] | None = None, *, requests: dict[str, Any] | None = None, params: dict[str, str] | None = None, **more: Any
) -> Group:
    container = {"name": "ray", "resources": {"limits": limits or {}, "requests": requests or {}}, "env": more.pop("env", [])}
    spec = {"template": {"spec": {"containers": [container]}}, "rayStartParams": params or {}, **more}
    return head_group({"headGroupSpec": spec})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (group({"cpu": "2", "memory": "2Gi"}), (2, 2 * 2**30, 0)),
        (group({"cpu": "1500m", "memory": "1G"}), (2, 10**9, 0)),
        (group({"cpu": 1, "nvidia.com/gpu": 2}), (1, None, 2)),
        (group({"amd.com/gpu": "1"}), (None, None, 1)),
        (group({"nvidia.com/mig-1g.5gb": "1"}), (None, None, 1)),
        (group(requests={"cpu": "3"}), (3, None, 0)),
        (group({"cpu": "2"}, requests={"cpu": "1"}), (2, None, 0)),
        (group({"cpu": "4", "nvidia.com/gpu": "1"}, params={"num-cpus": "0", "num-gpus": "0"}), (0, None, 0)),
        (group({"cpu": "4"}, params={"num-cpus": '"8"'}), (8, None, 0)),
        (group({"cpu": "4", "memory": "1Gi"}, resources={"CPU": "2", "memory": "3Gi", "GPU": "1"}), (2, 3 * 2**30, 1)),
        (group(), (None, None, 0)),
    ],
)
def test_sizes_come_from_params_then_the_group_then_limits_then_requests(given: Group, expected: tuple[int | None, int | None, int]):
    assert (given.cpus, given.memory, given.gpus) == expected


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ({"replicas": 2}, 2),
        ({"replicas": 0, "minReplicas": 1}, 1),
        ({"replicas": 9, "maxReplicas": 4}, 4),
        ({"replicas": 9, "maxReplicas": 0}, 0),
        ({"minReplicas": 0}, 0),
        ({"replicas": 2, "numOfHosts": 3}, 6),
        ({"replicas": 2, "suspend": True}, 0),
    ],
)
def test_as_many_workers_are_wanted_as_kuberay_would_want(numbers: dict[str, Any], expected: int):
    assert worker_groups({"workerGroupSpecs": [{"groupName": "small", **numbers}]})[0].replicas == expected


def test_custom_resources_reach_ray_whether_quoted_for_a_shell_or_not():
    for text in ('{"special": 1}', "'{\"special\": 1}'", '"{\\"special\\": 1}"'):
        assert group(params={"resources": text}).resources == {"special": 1}


@pytest.mark.parametrize(("text", "value"), [("500m", 0.5), ("2", 2), (1.5, 1.5), ("1Ki", 1024), ("8G", 8e9), ("1e3", 1000), ("2E", 2e18)])
def test_quantities_are_read_as_kubernetes_reads_them(text: Any, value: float):
    assert quantity(text) == value


@pytest.mark.parametrize("text", ["8 G", "", "Gi", "1X", "banana"])
def test_what_is_no_quantity_is_refused(text: str):
    with pytest.raises(ValueError, match="quantity"):
        quantity(text)


def test_a_head_gets_every_port_from_its_block_and_listens_where_nobody_else_does():
    command = head_command(group({"cpu": "2", "memory": "2Gi"}), lambda name: 24000 + NAMES.index(name), "/tmp/t", 10**8)
    ports = [option for option in command if "port=" in option and "worker-port" not in option]
    assert len(ports) == len({option.partition("=")[2] for option in ports}) == 9
    for option in ("--head", "--block", "--num-cpus=2", "--num-gpus=0", f"--memory={2 * 2**30}", "--object-store-memory=100000000"):
        assert option in command
    assert "--temp-dir=/tmp/t" in command and "--dashboard-host=127.0.0.1" in command and "--disable-usage-stats" in command


def test_a_worker_joins_its_head_and_takes_ports_that_are_free():
    command = worker_command(group({"cpu": "1", "nvidia.com/gpu": "1"}, labels={"zone": "b", "a": "1"}), 24000, "one", 10**8)
    assert any(option.startswith("--address=127.") and option.endswith(":24000") for option in command)
    assert "--num-gpus=1" in command and "--labels=a=1,zone=b" in command and "--dashboard-agent-listen-port=0" in command
    assert "--head" not in command and not any("temp-dir" in option for option in command)


def test_no_worker_takes_a_port_out_of_a_range_that_another_cluster_looks_into_too():
    for command in (head_command(group(), lambda name: 24000, "/tmp/t", 10**8), worker_command(group(), 24000, "one", 10**8)):
        assert "--min-worker-port=0" in command and "--max-worker-port=0" in command


def test_what_a_manifest_says_about_a_pods_network_is_not_passed_on():
    params = {"dashboard-host": "0.0.0.0", "port": "6379", "block": "true", "metrics-export-port": "8080", "no-monitor": "true"}
    command = head_command(group(params=params), lambda name: 24000 + NAMES.index(name), "/tmp/t", 10**8)
    assert "--no-monitor=true" in command
    assert not any("0.0.0.0" in option or option in ("--port=6379", "--metrics-export-port=8080") for option in command)


def test_object_stores_share_what_there_is_and_are_never_too_small_for_ray():
    large = group({"memory": "100Gi"})
    assert store_memory(large, 10 * 2**30, 2) == 10 * 2**30 // 4
    assert store_memory(group({"memory": "1Gi"}), 10 * 2**30, 2) == int(0.3 * 2**30)
    assert store_memory(large, 64 * 2**20, 2) > 75 * 2**20


def test_a_mounted_config_map_is_found_in_its_folder_here():
    container = {
        "name": "ray",
        "env": [
            {"name": "PYTHONPATH", "value": "/etc/loader:/etc/loader/sub:/etc/loaderish"},
            {"name": "SECRET", "valueFrom": {"secretKeyRef": {}}},
            {"name": "NUMBER", "value": 7},
        ],
        "volumeMounts": [{"name": "code", "mountPath": "/etc/loader"}],
    }
    pod = {"containers": [container], "volumes": [{"name": "code", "configMap": {"name": "loader"}}]}
    found = environment(
        head_group({"headGroupSpec": {"template": {"spec": pod}}}),
        {"HOME": "/home/a", "NUMBER": "1"},
        {"OURS": "1"},
        lambda name: f"/data/{name}",
        "/shim",
    )
    assert found["PYTHONPATH"] == "/shim:/data/loader:/data/loader/sub:/etc/loaderish"
    assert found["HOME"] == "/home/a" and found["OURS"] == "1" and found["NUMBER"] == "7" and "SECRET" not in found


def test_no_token_of_jupyter_and_no_other_ray_is_inherited():
    given = {
        "HOME": "/home/a",
        "PATH": "/bin",
        "JUPYTER_TOKEN": "x",
        "JUPYTERHUB_API_TOKEN": "x",
        "JPY_API_TOKEN": "x",
        "JPY_PARENT_PID": "1",
        "RAY_ADDRESS": "ray://other",
        "MPLBACKEND": "module://inline",
        "JUPYTER_KUBERAY_MARK": "uid/head",
    }
    assert inherited(given) == {"HOME": "/home/a", "PATH": "/bin"}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"enableInTreeAutoscaling": True}, "Autoscaling"),
        ({"image": "rayproject/ray:2.40.0-py311"}, "2.40.0"),
        ({"image": "somebody/else"}, "somebody/else"),
        ({"nodeSelector": {"zone": "b"}}, "Node selectors"),
        ({"tolerations": [{"key": "gpu"}]}, "Tolerations"),
        ({"labels": {"kueue.x-k8s.io/queue-name": "default"}}, "Queues"),
        ({"image": "rayproject/ray:2.58.0-py311-gpu"}, ""),
        ({"image": "mirror.example.org/rayproject/ray:2.58.0-py311"}, ""),
        ({}, ""),
    ],
)
def test_what_only_kubernetes_can_do_is_said_in_a_sentence(change: dict[str, Any], word: str):
    pod = {key: change[key] for key in ("nodeSelector", "tolerations") if key in change}
    pod["containers"] = [{"name": "ray", "image": change.get("image", "")}]
    spec = {"headGroupSpec": {"template": {"spec": pod}}, **{key: change[key] for key in ("enableInTreeAutoscaling",) if key in change}}
    said = only_on_kubernetes({"metadata": {"labels": change.get("labels", {})}, "spec": spec}, "2.58.0", "3.11")
    assert len(said) == bool(word) and all(word in sentence for sentence in said)


@pytest.mark.parametrize(("given", "expected"), [("a b", "a b"), ("'a b'", "a b"), ('"a', '"a'), ("", "")])
def test_params_are_unquoted_as_a_shell_would(given: str, expected: str):
    assert unquoted(given) == expected


def test_what_a_node_said_before_it_had_started_does_not_tell_why_it_ended():
    before = "Local node IP: 127.0.0.2\n\n--block\n  This command will now block forever until terminated by a signal.\n"
    started = "2026-11-27 13:41:41,951\tINFO scripts.py:1271 -- Process exit logs will be saved to: /tmp/logs/ray_process_exit.log\n"
    after = "Some Ray subprocesses exited unexpectedly:\n  gcs_server [exit code=-9]\n"
    assert telling(before + started) == []
    assert telling(before + started + after) == ["Some Ray subprocesses exited unexpectedly:", "gcs_server [exit code=-9]"]
    assert telling("bash: ray: not found\n\n") == ["bash: ray: not found"] and telling("") == []
