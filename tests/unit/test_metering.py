"""What nodes export for Prometheus, read once."""

import pytest

from jupyter_kuberay.metering import Sample, added, exporting, nodes, parsed

TEXT = """
# HELP ray_serve_deployment_request_counter_total The number of queries.
# TYPE ray_serve_deployment_request_counter_total counter
ray_serve_deployment_request_counter_total{application="s",WorkerId="a",NodeAddress="10.0.0.1"} 3.0
ray_serve_deployment_request_counter_total{application="s",WorkerId="b",NodeAddress="10.0.0.1"} 4.0
ray_node_cpu_count{Version="2"} 8.0
ray_jupyter_kuberay_requests_total{revision="2",status="200"} 5.0
"""


def test_only_what_serves_is_read():
    names = {sample.name for sample in parsed(TEXT, ("ray_serve_", "ray_jupyter_kuberay_"))}
    assert names == {"ray_serve_deployment_request_counter_total", "ray_jupyter_kuberay_requests_total"}


def test_processes_are_added_up():
    assert added(parsed(TEXT, ("ray_serve_",))) == [Sample("ray_serve_deployment_request_counter_total", 7.0, {"application": "s"})]


def test_labels_that_mean_something_stay_apart():
    told = [Sample("n", 1.0, {"revision": "1", "pid": "7"}), Sample("n", 2.0, {"revision": "2"}), Sample("n", 3.0, {"revision": "1"})]
    assert [(each.labels["revision"], each.value) for each in added(told)] == [("1", 4.0), ("2", 2.0)]


def test_nothing_is_nothing():
    assert parsed("", ("ray_",)) == added([]) == []


def test_what_is_malformed_is_refused():
    with pytest.raises(ValueError, match=r".+"):
        parsed('ray_serve_x{a="b} 1', ("ray_",))


def test_every_node_with_a_replica_is_asked():
    replica = {"node_id": "far", "node_ip": "10.0.0.3"}
    serve = {
        "controller_info": {"node_id": "head"},
        "proxies": {"head": {"node_ip": "10.0.0.1"}, "near": {"node_ip": "10.0.0.2"}},
        "applications": {"s": {"deployments": {"d": {"replicas": [replica, {"node_id": "head", "node_ip": "10.0.0.1"}]}}}},
    }
    assert nodes(serve) == {"head": "", "near": "10.0.0.2", "far": "10.0.0.3"}
    assert set(nodes({}).values()) == {""}


def test_where_a_node_exports_is_what_ray_says():
    found = {"data": {"summary": [{"raylet": {"nodeId": "far", "metricsExportPort": 8081}}, {"raylet": {"nodeId": "odd"}}, {}]}}
    assert exporting(found) == {"far": 8081}
    assert exporting({}) == {}
