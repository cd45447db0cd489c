"""Cards: the facts that a checkpoint's file lacks, and examples that prove it.

The server computes the examples each time that it loads the checkpoint, and refuses it if one differs. A fact that is left out
is taken from the checkpoint, or from the examples if they allow one value only.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import ArgumentError
from .sb3 import is_model, is_part, vec_normalize_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: Examples in a card, unless another number is asked for.
EXAMPLES = 8

#: Computes the deterministic action [action_dim] of a state [state_dim] as the trainer does.
Act = Callable[[NDArray[np.float32]], ArrayLike]


class Facts(TypedDict, total=False):
    """The keys of a card, as component/actor/README.md explains them. All may be left out."""

    activation: str | list[str]
    action_low: ArrayLike
    action_high: ArrayLike
    action_bounds: str
    squash: str
    kind: str
    log_std_min: float
    log_std_max: float
    obs_mean: ArrayLike
    obs_std: ArrayLike
    clip_obs: float
    normalisation: str
    input: str
    outputs: list[str]


def write_card(
    checkpoint: str | os.PathLike[str],
    policy: Any,
    states: ArrayLike | None = None,
    *,
    vec_normalize: Any = None,
    examples: int = EXAMPLES,
    **facts: Unpack[Facts],
) -> str:
    """Writes `checkpoint + ".policy.json"` and returns its path. Write it before the checkpoint itself.

    policy: a model of Stable-Baselines3, or a function from a state [state_dim] to the deterministic action [action_dim].
    states: [n, state_dim], as the server receives them; drawn from the observation space of a model if left out.
    vec_normalize: the VecNormalize of the training, for a model that was loaded without its environment.
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
    policy: Any, states: ArrayLike | None = None, *, vec_normalize: Any = None, examples: int = EXAMPLES, **facts: Unpack[Facts]
) -> str:
    """Returns the content of a card, of what `write_card` takes. Without a policy it holds facts alone."""
    check_facts(facts)
    if is_part(policy):
        raise ArgumentError(
            f"this {type(policy).__name__} is a part of a model of Stable-Baselines3: expected the model itself"
        )
    if is_model(policy):
        states = draw(policy.observation_space, examples) if states is None else states
        policy = _act(policy, vec_normalize_of(policy, vec_normalize, facts))
    content: dict[str, Any] = {**facts}
    if policy is not None:
        if states is None:
            raise ArgumentError("states are missing: give some that the policy has met, [n, state_dim]")
        content["examples"] = [_example(policy, state) for state in np.asarray(states, dtype=np.float32)[:examples]]
    try:
        return json.dumps(content, indent=1, allow_nan=False, default=_plain)
    except ValueError as error:
        raise ArgumentError(f"a card holds finite numbers alone: {error}") from error


def check_facts(facts: Mapping[str, Any]) -> None:
    """Refuses a name that is no key of a card, and a value that JSON does not hold."""
    for name, value in facts.items():
        if name not in Facts.__annotations__:
            near = difflib.get_close_matches(name, Facts.__annotations__, 1)
            hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(Facts.__annotations__)}"
            raise ArgumentError(f"{name} is no key of a card: {hint}")
        try:
            json.dumps(value, default=_plain)
        except TypeError:
            # A class, a function or a module, such as torch.nn.ReLU. Its name is one that the server knows, if there is one.
            word = getattr(value, "__name__", type(value).__name__).lower() if name == "activation" else None
            expected = f'a word, such as "{word}"' if word else "numbers, words or lists of them"
            raise ArgumentError(f"{name} is {value!r}: expected {expected}") from None


def _plain(value: Any) -> Any:
    """Returns the lists and numbers of an array or a tensor."""
    try:
        return value.tolist()
    except (AttributeError, TypeError):
        raise TypeError(f"{value!r} is no value of a card") from None


def draw(space: Any, count: int) -> NDArray[np.float32]:
    """Draws states within the bounds of a Box, or around zero where it has none."""
    if getattr(space, "low", None) is None:
        raise ArgumentError(f"states cannot be drawn from {space}: give some, [n, state_dim], or no examples")
    low, high = np.maximum(space.low, -2.0), np.minimum(space.high, 2.0)
    # Bounds beyond these, such as those of prices.
    low, high = np.where(low > high, space.low, low), np.where(low > high, space.high, high)
    drawn = np.random.default_rng(0).uniform(low, high, size=(count, *space.shape))
    return drawn.astype(np.float32)


def _example(act: Act, state: NDArray[np.float32]) -> dict[str, list[float]]:
    action = act(state)
    # A tensor that records gradients is no array.
    action = action.detach().cpu() if hasattr(action, "detach") else action
    action = np.asarray(action, dtype=np.float64).ravel().tolist()
    return {"state": state.ravel().tolist(), "action": action}


def _act(model: Any, vec_normalize: Any) -> Act:
    def act(state: NDArray[np.float32]) -> ArrayLike:
        state = state.reshape(model.observation_space.shape)
        if vec_normalize is not None:
            state = vec_normalize.normalize_obs(state)
        action: ArrayLike = model.predict(state, deterministic=True)[0]
        return action

    return act
