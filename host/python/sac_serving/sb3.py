"""Tells models of Stable-Baselines3, which is not imported for that: without it there is no such model."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from .errors import ArgumentError


def is_model(candidate: Any) -> bool:
    """Returns true for a model, such as SAC of Stable-Baselines3 or TQC of sb3-contrib."""
    return _is(candidate, "stable_baselines3.common.base_class", "BaseAlgorithm")


def is_part(candidate: Any) -> bool:
    """Returns true for a part of a model: its policy, its actor, its critic."""
    return _is(candidate, "stable_baselines3.common.policies", "BaseModel")


def vec_normalize_of(model: Any, given: Any, facts: Mapping[str, Any]) -> Any:
    """Returns the VecNormalize through which a model sees states, or None if it sees them as they are.

    Refuses a model that does not know it: examples of the wrong states would prove the wrong policy.
    """
    if given is not None or facts.get("normalisation") == "none":
        return given
    env = model.get_env()
    if env is None and "obs_mean" not in facts:
        raise ArgumentError(
            "this model was loaded without its environment, and does not know whether states were normalised in training:"
            ' expected vec_normalize=VecNormalize.load(FILE, ENV), or normalisation="none" if they were not'
        )
    found = model.get_vec_normalize_env()
    if found is None and env is not None and "obs_mean" not in facts and _normalises(env):
        raise ArgumentError(
            "the environment has gymnasium's NormalizeObservation, whose statistics no model holds: expected VecNormalize"
            ' instead, or obs_mean, obs_std and clip_obs, or normalisation="none" if requests have the states that it gives'
        )
    changing = _changing(env, found)
    if changing is not None and found.norm_obs and "obs_mean" not in facts:
        raise ArgumentError(
            f"{changing} lies around VecNormalize in the environment, and may change the states that it gives: expected"
            " VecNormalize around it, or vec_normalize=model.get_vec_normalize_env() if it leaves states as they are"
        )
    return found


#: Wrappers of Stable-Baselines3 that leave states as they are.
NEUTRAL = ("VecMonitor", "VecCheckNan", "VecVideoRecorder")


def _changing(env: Any, vec_normalize: Any) -> str | None:
    """Returns the class of a wrapper around the VecNormalize through which states may pass after it."""
    while vec_normalize is not None and env is not None and env is not vec_normalize:
        kind = type(env)
        if not kind.__module__.startswith("stable_baselines3.") or kind.__name__ not in NEUTRAL:
            return kind.__name__
        env = getattr(env, "venv", None)
    return None


def _normalises(env: Any) -> bool:
    wrapper = getattr(sys.modules.get("gymnasium.wrappers"), "NormalizeObservation", None)
    return wrapper is not None and any(env.env_is_wrapped(wrapper))


def _is(candidate: Any, module: str, name: str) -> bool:
    known = getattr(sys.modules.get(module), name, None)
    return known is not None and isinstance(candidate, known)
