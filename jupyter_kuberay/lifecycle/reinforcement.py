"""An agent that learns by trying: RLlib's PPO on any Gymnasium environment, some of which run anywhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_kuberay.lifecycle._run import Json, LifecycleError, write_json

if TYPE_CHECKING:
    from ray.rllib.algorithms.ppo import PPOConfig

_STEPS = 2000  # of the environment an iteration


def train_agent(
    run_dir: str,
    *,
    environment: str = "CartPole-v1",
    iterations: int = 30,
    goal: float = 0.0,
    env_runners: int = 1,
    learners: int = 0,
    gpus_per_learner: float = 0,
    settings: Mapping[str, Any] | None = None,
    seed: int = 7,
) -> Json:
    """Train a policy by PPO until it is good enough, and leave it in ``run_dir/agent``.

    Parameters
    ----------
    environment
        A Gymnasium environment by its name, which the cluster's image must have.
    iterations
        At most; each is 2,000 steps of the environment.
    goal
        End once the mean return of an episode is this; 0: what the environment's own specification calls solved, if it does.
    env_runners
        Processes that try things, one CPU each.
    learners, gpus_per_learner
        Processes that learn; 0: this one.
    settings
        Of ``PPOConfig.training`` beside or instead of what is usual here, such as {"lr": 1e-4}.

    Returns
    -------
    What is also written to ``agent.json``: agent (the checkpoint's path), environment, returns by iteration, solved, steps, seconds.

    Raises
    ------
    LifecycleError
        RLlib is not installed on the cluster, or there is no such environment.
    """
    started = time.monotonic()
    place = Path(run_dir).resolve() / "agent"
    goal = goal or _solved_at(environment)
    config = _config(environment, env_runners, learners, gpus_per_learner, dict(settings or {}), seed)
    algorithm = config.build_algo()
    returns: list[float] = []
    steps = 0
    try:
        for iteration in range(1, iterations + 1):
            found = algorithm.train()
            seen = found["env_runners"]
            steps = int(seen.get("num_env_steps_sampled_lifetime", 0))
            returns.append(round(float(seen.get("episode_return_mean", float("nan"))), 2))
            sys.stdout.write(f"iteration {iteration}: {steps:,} steps, mean return {returns[-1]}\n")
            sys.stdout.flush()
            if goal and returns[-1] >= goal:
                break
        algorithm.save_to_path(str(place))
    finally:
        algorithm.stop()
    record: Json = {
        "agent": str(place),
        "environment": environment,
        "returns": returns,
        "goal": goal,
        "solved": bool(goal and returns and returns[-1] >= goal),
        "steps": steps,
        "seconds": round(time.monotonic() - started, 1),
    }
    write_json(Path(run_dir) / "agent.json", record)
    return record


def play(agent: str, environment: str = "CartPole-v1", *, episodes: int = 5, seed: int = 11) -> Json:
    """Let a trained policy act on its own, without chance.

    Parameters
    ----------
    agent
        As `train_agent` returns it.

    Returns
    -------
    ``returns`` and ``lengths`` by episode, and ``seen``: the observations of the first one, a list of numbers for each step.

    Raises
    ------
    LifecycleError
        There is no such agent.
    """
    import gymnasium
    import torch
    from ray.rllib.core.rl_module.rl_module import RLModule

    place = Path(agent) / "learner_group" / "learner" / "rl_module" / "default_policy"
    if not place.is_dir():
        raise LifecycleError(f"There is no agent in {agent}.", "Run reinforcement.train_agent with this run folder first.")
    module: Any = RLModule.from_checkpoint(str(place))
    world = gymnasium.make(environment)
    returns: list[float] = []
    lengths: list[int] = []
    first: list[list[float]] = []
    for episode in range(episodes):
        seen, _ = world.reset(seed=seed + episode)
        total, length, ended = 0.0, 0, False
        while not ended:
            if episode == 0:
                first.append([round(float(value), 4) for value in seen])
            with torch.inference_mode():
                given = module.forward_inference({"obs": torch.as_tensor(seen, dtype=torch.float32)[None]})
            chances = module.get_inference_action_dist_cls().from_logits(given["action_dist_inputs"])
            seen, reward, terminated, truncated, _ = world.step(chances.to_deterministic().sample()[0].numpy())
            total, length, ended = total + float(reward), length + 1, terminated or truncated
        returns.append(total)
        lengths.append(length)
    world.close()  # type: ignore[no-untyped-call]
    return {"returns": returns, "lengths": lengths, "seen": first}


def _solved_at(environment: str) -> float:
    """The mean return at which the environment counts as solved; 0.0 where it does not say."""
    try:
        import gymnasium
    except ImportError as error:
        hint = "Install ray[rllib]: pip install 'jupyter-kuberay[reinforcement]', and in the cluster's image."
        raise LifecycleError(f"The cluster lacks what RLlib needs: {error}.", hint) from error
    try:
        return float(gymnasium.spec(environment).reward_threshold or 0.0)
    except gymnasium.error.Error as error:
        hint = "gymnasium.pprint_registry() prints those that there are."
        raise LifecycleError(f"There is no environment {environment!r}: {error}.", hint) from error


def _config(environment: str, env_runners: int, learners: int, gpus_per_learner: float, settings: Json, seed: int) -> PPOConfig:
    from ray.rllib.algorithms.ppo import PPOConfig

    usual = {"lr": 1e-3, "train_batch_size_per_learner": _STEPS, "minibatch_size": 250, "num_epochs": 8, "vf_loss_coeff": 0.01}
    return (
        PPOConfig()
        .environment(environment)
        .env_runners(num_env_runners=env_runners, num_envs_per_env_runner=8)
        .learners(num_learners=learners, num_gpus_per_learner=gpus_per_learner)
        .training(**{**usual, **settings})
        .debugging(seed=seed, log_level="ERROR")
    )
