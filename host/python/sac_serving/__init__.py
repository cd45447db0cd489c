"""Asks a sac-serving server for actions, and publishes checkpoints for it. README.md in this folder's parent shows how."""

from typing import TYPE_CHECKING, Any

from .answers import Health, PredictInfo
from .card import Facts, write_card
from .errors import (
    ArgumentError,
    BadRequestError,
    RefusedError,
    SacServingError,
    StatusError,
    UnauthorizedError,
    UnavailableError,
    UnreachableError,
)
from .policy import Policy
from .publish import publish

if TYPE_CHECKING:
    from .callback import PublishCallback

__all__ = [
    "ArgumentError",
    "BadRequestError",
    "Facts",
    "Health",
    "Policy",
    "PredictInfo",
    "PublishCallback",
    "RefusedError",
    "SacServingError",
    "StatusError",
    "UnauthorizedError",
    "UnavailableError",
    "UnreachableError",
    "publish",
    "write_card",
]


def __getattr__(name: str) -> Any:
    """Imports the callback when it is asked for: its base class takes Stable-Baselines3, and so PyTorch, along."""
    if name == "PublishCallback":
        from .callback import PublishCallback

        return PublishCallback
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
