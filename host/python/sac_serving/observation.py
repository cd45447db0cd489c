"""Observations, as numbers that a server takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ArgumentError


def numbers(observation: Any) -> NDArray[np.float32]:
    """Returns the numbers of an observation [state_dim, …], or of a batch of them, and refuses what no server could compute."""
    if isinstance(observation, Mapping):
        raise ArgumentError(
            "an observation of a Dict space is sent as one array: np.concatenate([np.ravel(observation[key]) for key in KEYS]),"
            " with the keys in the order that the fact `input` of info() shows; a Discrete value one-hot"
        )
    try:
        found = np.asarray(observation, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"an observation is an array of numbers, and {type(observation).__name__} is none: {error}"
        ) from None
    if found.ndim == 0:
        raise ArgumentError(
            "an observation has the shape [state_dim], or [n, state_dim] for n, and a number has none: one of a Discrete space"
            " is sent one-hot, as np.eye(n)[observation]"
        )
    if found.size == 0:
        raise ArgumentError(
            f"an observation of the shape {found.shape} has no numbers: expected [state_dim], or [n, state_dim]"
        )
    if not np.isfinite(found).all():
        raise ArgumentError("an observation has a number that is not finite, or is too large for 32 bits")
    return found
