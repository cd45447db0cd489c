"""The fields of answers, named as the routes name them."""

from typing import TypedDict


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
