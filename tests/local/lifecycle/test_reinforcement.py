"""PPO on a real Ray: it learns, and its agent acts on its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from jupyter_kuberay.lifecycle import reinforcement
from jupyter_kuberay.lifecycle._run import LifecycleError, read_json

pytestmark = pytest.mark.timeout(300)


def test_an_agent_learns_to_balance_a_pole(tmp_path: Path):
    record = reinforcement.train_agent(str(tmp_path), goal=60, iterations=12)
    assert record["solved"] and record["returns"][0] < 60 <= record["returns"][-1]
    assert read_json(tmp_path / "agent.json") == record
    played = reinforcement.play(record["agent"], episodes=2)
    assert min(played["returns"]) > 40
    assert len(played["seen"]) == played["lengths"][0] and len(played["seen"][0]) == 4


def test_an_environment_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(LifecycleError, match="no environment 'Nowhere-v1'"):
        reinforcement.train_agent(str(tmp_path), environment="Nowhere-v1")


def test_an_agent_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(LifecycleError, match="no agent in"):
        reinforcement.play(str(tmp_path))
