"""The fields of answers, named as the routes name them."""

from __future__ import annotations

from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from .errors import StatusError


class PredictInfo(TypedDict):
    """The checkpoint that computed an action, and the time that it took."""

    model_path: str
    model_mtime_utc: str
    latency_ms: float
    jit_compiled: bool


class _Status(TypedDict):
    status: str
    model_loaded: bool


class Health(_Status, total=False):
    """`status` is "ok", "stale" if a newer checkpoint was refused, or "no_model"."""

    detail: str


def actions_and_info(answer: dict[str, Any], key: str, shape: tuple[int, ...]) -> tuple[NDArray[np.float32], PredictInfo]:
    """Returns the actions below `key`, in this shape, and what computed them."""
    try:
        return np.array(answer[key], dtype=np.float32).reshape(shape), PredictInfo(
            model_path=answer["model_path"],
            model_mtime_utc=answer["model_mtime_utc"],
            latency_ms=answer["latency_ms"],
            jit_compiled=answer["jit_compiled"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StatusError(200, "the answer is not one of sac-serving: something else answers at this URL") from error
