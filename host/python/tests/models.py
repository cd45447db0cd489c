"""Models of Stable-Baselines3, and a module of PyTorch. Tests that import this are skipped where either is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import STATES

gymnasium = pytest.importorskip("gymnasium", reason="publishing is not tested: pip install stable-baselines3")
sb3 = pytest.importorskip("stable_baselines3", reason="publishing is not tested: pip install stable-baselines3")

import torch  # noqa: E402
from stable_baselines3.common.callbacks import BaseCallback  # noqa: E402
from stable_baselines3.common.evaluation import evaluate_policy  # noqa: E402
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnvWrapper, VecMonitor, VecNormalize  # noqa: E402

# Tests import the libraries from here, so that they are skipped together.
__all__ = ["Actor", "BaseCallback", "DummyVecEnv", "VecEnvWrapper", "VecMonitor", "VecNormalize", "actions_of", "environment"]
__all__ += ["evaluate_policy", "gymnasium", "model", "normalised", "sb3", "torch"]


def environment(normalised: bool = False) -> Any:
    env: Any = DummyVecEnv([lambda: gymnasium.make("Pendulum-v1")])
    return VecNormalize(env) if normalised else env


def model(seed: int = 0, normalised: bool = False) -> Any:
    options: Any = {"policy_kwargs": {"net_arch": [32, 32]}, "learning_starts": 50, "device": "cpu"}
    return sb3.SAC("MlpPolicy", environment(normalised), seed=seed, **options)


def normalised(scale: float) -> Any:
    """A model of its own statistics."""
    trained = model(int(scale), normalised=True)
    statistics = trained.get_vec_normalize_env().obs_rms
    statistics.mean, statistics.var, statistics.count = np.full(3, 0.1 * scale), np.full(3, scale), 100.0
    return trained


def actions_of(trained: Any, states: Any = STATES) -> Any:
    statistics = trained.get_vec_normalize_env()
    states = states if statistics is None else statistics.normalize_obs(states)
    return trained.predict(states, deterministic=True)[0]


class Actor(torch.nn.Module):
    """An actor of the user's own, whose state_dict says neither the activation nor the bounds."""

    def __init__(self, activation: Any = torch.tanh, limit: float = 3.0, action_dim: int = 2) -> None:
        super().__init__()
        self.activation, self.limit = activation, limit
        self.fc1, self.fc2 = torch.nn.Linear(3, 32), torch.nn.Linear(32, 32)
        self.mean, self.log_std = torch.nn.Linear(32, action_dim), torch.nn.Linear(32, action_dim)

    def act(self, state: Any) -> Any:
        with torch.no_grad():
            hidden = self.activation(self.fc2(self.activation(self.fc1(torch.as_tensor(state)))))
            return (self.limit * torch.tanh(self.mean(hidden))).numpy()
