"""Writes the card of a checkpoint: the facts that its file lacks, and examples that prove it.

    from sac_card import write_card
    model.save("checkpoints/next.zip")                                # Stable-Baselines3
    write_card("checkpoints/model_1.zip", model)                      # the card first, then the checkpoint
    os.rename("checkpoints/next.zip", "checkpoints/model_1.zip")

    write_card("checkpoints/model_1.pt", act, states, activation="relu", action_low=-2.0, action_high=2.0)

The server computes the examples each time that it loads the checkpoint, and refuses it if one differs. It needs nothing but
numpy. A fact that is left out is taken from the checkpoint, or from the examples if they allow one value only.
"""

import json
import os

import numpy as np

EXAMPLES = 8


def write_card(checkpoint, policy, states=None, *, vec_normalize=None, examples=EXAMPLES, **facts):
    """Writes `checkpoint + ".policy.json"` and returns its path.

    policy: a model of Stable-Baselines3, or a function from a state [state_dim] to the deterministic action [action_dim].
    states: [n, state_dim], as the server receives them; drawn from the observation space of a model if left out.
    vec_normalize: the VecNormalize of the training environment, through which a model sees the states.
    facts: the keys of a card, such as activation="relu", action_low=[-1.0], action_high=[1.0], squash="tanh".
    """
    if hasattr(policy, "predict") and hasattr(policy, "observation_space"):
        states = _draw(policy.observation_space, examples) if states is None else states
        policy = _sb3(policy, vec_normalize)
    if states is None:
        raise ValueError("states are missing: give some that the policy has met, [n, state_dim]")
    states = np.asarray(states, dtype=np.float64)[:examples]
    card = {key: np.asarray(value).tolist() if isinstance(value, np.ndarray) else value for key, value in facts.items()}
    card["examples"] = [
        {"state": state.ravel().tolist(), "action": np.asarray(policy(state), dtype=np.float64).ravel().tolist()}
        for state in states
    ]
    path = f"{checkpoint}.policy.json"
    with open(f"{path}.tmp", "w") as file:
        json.dump(card, file, indent=1, allow_nan=False)
    os.rename(f"{path}.tmp", path)
    return path


def _sb3(model, vec_normalize):
    def act(state):
        state = np.asarray(state, dtype=np.float32).reshape(model.observation_space.shape)
        if vec_normalize is not None:
            state = vec_normalize.normalize_obs(state)
        return model.predict(state, deterministic=True)[0]

    return act


def _draw(space, count):
    """Draws states within the bounds of a Box, or around zero where it has none."""
    rng = np.random.default_rng(0)
    low, high = np.maximum(space.low, -2.0), np.minimum(space.high, 2.0)
    return rng.uniform(low, high, size=(count, *space.shape)).astype(np.float32)
