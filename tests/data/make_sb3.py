"""Trains small models of Stable-Baselines3 and saves them in sb3/, with sb3/expected.json: the states that an environment
gives and the actions that the model computes for them, normalised as in training. Files whose statistics or whose code is
lost have none, since they must be refused.

    pip install stable_baselines3 && python make_sb3.py
"""

import json
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import CheckpointCallback
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from stable_baselines3.sac.policies import SACPolicy

HERE = Path(__file__).parent / "sb3"
expected = {}


class Env(gym.Env):
    """Gives states of its space that are far from a mean of 0 and a deviation of 1."""

    action_space = spaces.Box(-2, 2, (2,))

    def __init__(self, space):
        self.observation_space = space
        self.steps = 0

    def state(self):
        scale = lambda space: 100 if space.dtype == np.uint8 else 1
        draw = lambda space: (scale(space) * (0.3 + 0.1 * self.np_random.standard_normal(space.shape))).astype(space.dtype)
        if isinstance(self.observation_space, spaces.Dict):
            return {key: draw(space) for key, space in self.observation_space.items()}
        return draw(self.observation_space)

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        return self.state(), {}

    def step(self, action):
        self.steps += 1
        return self.state(), float(-np.square(action).sum()), False, self.steps % 50 == 0, {}


class Scaled(BaseFeaturesExtractor):
    """Has no weights, so that the tensors of a policy do not show it."""

    def __init__(self, space):
        super().__init__(space, space.shape[0])

    def forward(self, states):
        return states * 10 + 1


class Negated(SACPolicy):
    """Has the actor of its library, and another action."""

    def _predict(self, observation, deterministic=False):
        return -super()._predict(observation, deterministic)


UNIT, REAL = spaces.Box(0, 1, (3,)), spaces.Box(-np.inf, np.inf, (3,))
FLOAT64 = spaces.Box(-np.inf, np.inf, (3,), np.float64)
DICT = spaces.Dict({"velocity": spaces.Box(-np.inf, np.inf, (2,)), "position": spaces.Box(0, 1, (3,))})


def train(space, wrap=lambda venv: venv, envs=1, use_sde=False, policy=None, **policy_kwargs):
    """Learns for some steps, which leaves the last observations in the model."""
    venv = wrap(DummyVecEnv([lambda: Env(space)] * envs))
    policy = policy or ("MultiInputPolicy" if isinstance(space, spaces.Dict) else "MlpPolicy")
    model = SAC(policy, venv, seed=0, learning_starts=50, buffer_size=200, batch_size=16, device="cpu",
                use_sde=use_sde, policy_kwargs={"net_arch": [8], **policy_kwargs})
    model.learn(100)
    return model, venv


def expect(name, model, venv, space):
    env = Env(space)
    states, actions = [env.reset(seed=1)[0], *(env.state() for _ in range(2))], []
    for state in states:
        batch = {k: v[None] for k, v in state.items()} if isinstance(state, dict) else state[None]
        batch = venv.normalize_obs(batch) if isinstance(venv, VecNormalize) else batch
        actions.append(model.predict(batch, deterministic=True)[0][0].tolist())
    flat = lambda state: [float(x) for key in space for x in state[key]] if isinstance(state, dict) else state.tolist()
    expected[name] = {"states": [flat(state) for state in states], "action": actions}


def served(name, space, *args, **kwargs):
    model, venv = train(space, *args, **kwargs)
    model.save(HERE / name)
    if isinstance(venv, VecNormalize):
        venv.save(HERE / f"{name}.vecnormalize.pkl")
    expect(name, model, venv, space)


def lost(name, space, *args, **kwargs):
    train(space, *args, **kwargs)[0].save(HERE / name)


HERE.mkdir(exist_ok=True)
served("plain.zip", UNIT)
served("plain_float64.zip", FLOAT64)
served("plain_uint8.zip", spaces.Box(0, 255, (3,), np.uint8))
served("linear.zip", UNIT, net_arch=[])
served("linear_sde.zip", UNIT, net_arch=[], use_sde=True)
served("vecnormalize_bounded.zip", UNIT, VecNormalize)
served("vecnormalize_reward.zip", UNIT, lambda venv: VecNormalize(venv, norm_obs=False))
served("vecnormalize_dict.zip", DICT, VecNormalize)
lost("vecnormalize_float64.zip", FLOAT64, VecNormalize)
lost("vecnormalize_envs.zip", REAL, VecNormalize, envs=4)
# Nothing in this file shows it: float32, without bounds.
lost("vecnormalize_unseen.zip", REAL, VecNormalize)

# A callback saves statistics that count an observation more than the model took.
callback = CheckpointCallback(500, HERE, name_prefix="car", save_vecnormalize=True)
car = VecNormalize(DummyVecEnv([lambda: gym.make("MountainCarContinuous-v0")]))
SAC("MlpPolicy", car, seed=0, device="cpu", policy_kwargs={"net_arch": [8]}).learn(1000, callback=callback)
(HERE / "car_1000_steps.zip").unlink()
model, car = SAC.load(HERE / "car_500_steps.zip"), VecNormalize.load(HERE / "car_vecnormalize_500_steps.pkl", car.venv)
states = np.array([[-0.5, 0.01], [0.2, -0.03], [-1.1, 0.05]])
actions = model.predict(car.normalize_obs(states), deterministic=True)[0]
expected["car_500_steps.zip"] = {"states": states.tolist(), "action": actions.tolist()}

model, venv = train(DICT, lambda venv: VecNormalize(venv, norm_obs_keys=["position"]))
model.save(HERE / "vecnormalize_some_keys.zip")
venv.save(HERE / "vecnormalize_some_keys.zip.vecnormalize.pkl")

# The library divides what looks like an image by 255.
model, _ = train(spaces.Box(0, 255, (1, 4, 4), np.uint8))
model.save(HERE / "image.zip")
model.policy.save(HERE / "image_policy.pt")
torch.save(model.actor, HERE / "image_actor.pt")

model, _ = train(UNIT, features_extractor_class=Scaled)
model.save(HERE / "extractor.zip")
model.policy.save(HERE / "extractor_policy.pt")
torch.save(model.actor, HERE / "extractor_actor.pt")
torch.save(train(UNIT, policy=Negated)[0].policy, HERE / "own_policy.pt")
model, venv = train(UNIT)
model.policy.save(HERE / "policy.pt")
expect("policy.pt", model, venv, UNIT)

(HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
