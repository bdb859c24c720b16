"""Who the user is: one order, the same in every process."""

import pytest

from jupyter_kuberay.identity import user_name


@pytest.mark.parametrize(
    ("configured", "environment", "server", "name"),
    [
        ("set", {"JUPYTERHUB_USER": "hub"}, "api", "set"),
        ("", {"JUPYTERHUB_USER": "hub"}, "api", "hub"),
        ("", {"JUPYTERHUB_USER": ""}, "api", "api"),
    ],
)
def test_the_administrator_comes_before_the_hub_before_the_api_server(configured, environment, server, name):
    assert user_name(configured, environment, lambda: server) == name


def test_the_systems_user_is_the_last_resort_and_there_is_always_one(monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "unix")
    assert user_name("", {}) == "unix"

    def nameless() -> str:
        raise OSError("no such uid")

    monkeypatch.setattr("getpass.getuser", nameless)
    assert user_name("", {}) == "nobody"
