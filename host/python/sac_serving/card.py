"""Cards: the facts that a checkpoint's file lacks, and examples that prove it.

The server computes the examples each time that it loads the checkpoint, and refuses it if one differs. A fact that is left out
is taken from the checkpoint, or from the examples if they allow one value only.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Examples in a card, unless another number is asked for.
EXAMPLES = 8

#: Computes the deterministic action [action_dim] of a state [state_dim] as the trainer does.
Act = Callable[[NDArray[np.float32]], ArrayLike]


def write_card(
    checkpoint: str | os.PathLike[str],
    policy: Any,
    states: ArrayLike | None = None,
    *,
    vec_normalize: Any = None,
    examples: int = EXAMPLES,
    **facts: Any,
) -> str:
    """Writes `checkpoint + ".policy.json"` and returns its path. Write it before the checkpoint itself.

    policy: a model of Stable-Baselines3, or a function from a state [state_dim] to the deterministic action [action_dim].
    states: [n, state_dim], as the server receives them; drawn from the observation space of a model if left out.
    vec_normalize: the VecNormalize of the training environment, through which a model sees the states.
    facts: the keys of a card, such as activation="relu", action_low=[-1.0], action_high=[1.0], squash="tanh".
    """
    path = f"{os.fspath(checkpoint)}.policy.json"
    temporary = f"{path}.{os.getpid()}.tmp"
    content = card(policy, states, vec_normalize=vec_normalize, examples=examples, **facts)
    with open(temporary, "w") as file:
        file.write(content)
    os.replace(temporary, path)
    return path


def card(
    policy: Any, states: ArrayLike | None = None, *, vec_normalize: Any = None, examples: int = EXAMPLES, **facts: Any
) -> str:
    """Returns the content of a card, of what `write_card` takes. Without a policy it holds facts alone."""
    if is_sb3(policy):
        states = draw(policy.observation_space, examples) if states is None else states
        policy = _act(policy, vec_normalize)
    content = {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in facts.items()}
    if policy is not None:
        if states is None:
            raise ValueError("states are missing: give some that the policy has met, [n, state_dim]")
        content["examples"] = [_example(policy, state) for state in np.asarray(states, dtype=np.float32)[:examples]]
    return json.dumps(content, indent=1, allow_nan=False)


def is_sb3(policy: Any) -> bool:
    """Returns true for a model of Stable-Baselines3, which is not imported for that."""
    return hasattr(policy, "predict") and hasattr(policy, "observation_space")


def draw(space: Any, count: int) -> NDArray[np.float32]:
    """Draws states within the bounds of a Box, or around zero where it has none."""
    if getattr(space, "low", None) is None:
        raise ValueError(f"states cannot be drawn from {space}: give some, [n, state_dim], or no examples")
    low, high = np.maximum(space.low, -2.0), np.minimum(space.high, 2.0)
    # Bounds beyond these, such as those of prices.
    low, high = np.where(low > high, space.low, low), np.where(low > high, space.high, high)
    drawn = np.random.default_rng(0).uniform(low, high, size=(count, *space.shape))
    return drawn.astype(np.float32)


def _example(act: Act, state: NDArray[np.float32]) -> dict[str, list[float]]:
    action = np.asarray(act(state), dtype=np.float64).ravel().tolist()
    return {"state": state.ravel().tolist(), "action": action}


def _act(model: Any, vec_normalize: Any) -> Act:
    def act(state: NDArray[np.float32]) -> ArrayLike:
        state = state.reshape(model.observation_space.shape)
        if vec_normalize is not None:
            state = vec_normalize.normalize_obs(state)
        action: ArrayLike = model.predict(state, deterministic=True)[0]
        return action

    return act
