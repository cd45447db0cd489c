"""Tells models of Stable-Baselines3, which is not imported for that: without it there is no such model."""

from __future__ import annotations

import sys
from typing import Any


def is_model(candidate: Any) -> bool:
    """Returns true for a model, such as SAC of Stable-Baselines3 or TQC of sb3-contrib."""
    return _is(candidate, "stable_baselines3.common.base_class", "BaseAlgorithm")


def is_part(candidate: Any) -> bool:
    """Returns true for a part of a model: its policy, its actor, its critic."""
    return _is(candidate, "stable_baselines3.common.policies", "BaseModel")


def _is(candidate: Any, module: str, name: str) -> bool:
    known = getattr(sys.modules.get(module), name, None)
    return known is not None and isinstance(candidate, known)
