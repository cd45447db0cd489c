"""A policy that a real server computes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from conftest import STATE, WORKSPACE, computed, put

from sac_serving import (
    ArgumentError,
    BadRequestError,
    Policy,
    SacServingError,
    StatusError,
    UnauthorizedError,
    UnavailableError,
)


def test_actions_have_the_shapes_types_and_values_that_the_trainer_knows(serve: Any, folder: Path) -> None:
    expected = computed(folder / "model_a.onnx")
    with Policy(serve("--dir", folder).url) as policy:
        action, info = policy.predict(np.array(STATE))
        assert action.shape == (1,) and action.dtype == np.float32
        assert action[0] == expected
        assert Path(info["model_path"]).name == "model_a.onnx"
        assert info["latency_ms"] > 0
        actions, info = policy.predict(np.array([STATE, [1.0, 0.0, -2.0]], dtype=np.float32))
        assert actions.shape == (2, 1) and actions.dtype == np.float32
        assert actions[0] == action and actions[1] == computed(folder / "model_a.onnx", [1.0, 0.0, -2.0])
        assert Path(info["model_path"]).name == "model_a.onnx"
        one, _ = policy.predict([STATE])
        assert one.shape == (1, 1)


def test_observations_of_several_axes_are_flattened_as_stable_baselines3_flattens_them(serve: Any, tmp_path: Path) -> None:
    wide = WORKSPACE / "tests/data/corpus/mlagents_sac_norm_pt/checkpoint.pt"
    shutil.copy(wide, tmp_path / "model_1.pt")
    matrices = np.random.default_rng(3).uniform(-1, 1, (5, 2, 3)).astype(np.float32)
    with Policy(serve("--dir", tmp_path).url) as policy:
        expected, _ = policy.predict(matrices.reshape(5, 6))
        assert np.array_equal(policy.predict(matrices)[0], expected)
        assert np.array_equal(policy.predict(matrices[:1])[0], expected[:1])
        for _ in range(2):
            assert np.array_equal(policy.predict(matrices[0])[0], expected[0])
        with pytest.raises(BadRequestError, match="state_dim mismatch"):
            policy.predict(np.zeros((2, 4)))
        # These are two states of a checkpoint whose states have three numbers.
        put("pendulum_00500", tmp_path / "model_2.onnx")
        assert policy.predict(matrices[0])[0].shape == (2, 1)


def test_a_seed_repeats_a_sample_and_a_sample_is_not_the_mean(serve: Any, folder: Path) -> None:
    with Policy(serve("--dir", folder).url) as policy:
        mean, _ = policy.predict(STATE)
        draws = [policy.predict(STATE, deterministic=False, seed=seed)[0] for seed in (7, 7, 8)]
        assert draws[0] == draws[1] and draws[0] != draws[2] and draws[0] != mean
        assert policy.predict([STATE], deterministic=False, seed=7)[0][0] == draws[0]


def test_the_next_prediction_is_computed_by_a_new_checkpoint(serve: Any, folder: Path) -> None:
    with Policy(serve("--dir", folder).url) as policy:
        old, _ = policy.predict(STATE)
        put("pendulum_02000", folder / "model_b.onnx")
        new, info = policy.predict(STATE)
        assert Path(info["model_path"]).name == "model_b.onnx" and new != old
        assert policy.info()["generation"] == 2
        assert policy.health() == {"status": "ok", "model_loaded": True}
        assert policy.reload()["generation"] == 3


def test_errors_carry_the_status_and_the_detail(serve: Any, folder: Path, tmp_path: Path) -> None:
    server = serve("--dir", folder, "--api-token", "secret")
    with Policy(server.url, "secret") as policy:
        with pytest.raises(BadRequestError) as wrong:
            policy.predict([1.0, 2.0])
        assert (wrong.value.status, wrong.value.detail) == (400, "state_dim mismatch: got 2, expected 3")
        with pytest.raises(BadRequestError) as wrong:
            policy.predict(STATE, seed=-1)
        assert wrong.value.status == 422 and wrong.value.detail[0]["loc"] == ["body", "seed"]
        (folder / "model_b.onnx").write_bytes(b"broken")
        with pytest.raises(StatusError, match="500: Checkpoint load failed"):
            policy.reload()
        assert policy.health()["status"] == "stale"
        assert "secret" not in repr(policy)
    with Policy(server.url) as policy, pytest.raises(UnauthorizedError, match="401"):
        policy.predict(STATE)
    with Policy(serve("--dir", tmp_path).url) as policy:
        with pytest.raises(UnavailableError, match="No SAC model loaded"):
            policy.predict(STATE)
        assert policy.health()["status"] == "no_model"


def test_what_no_server_could_compute_is_not_sent() -> None:
    policy = Policy("http://localhost:9")
    for infinite in ([np.nan, 0.0, 0.0], [1e39, 0.0, 0.0]):
        with pytest.raises(SacServingError, match="not finite"), np.errstate(over="ignore"):
            policy.predict(infinite)
    for observation, reason in [
        (7, "a Discrete space is sent one-hot"),
        ([], "has no numbers"),
        (np.zeros((0, 3)), r"the shape \(0, 3\) has no numbers"),
        ("abc", "an observation is an array of numbers, and str is none"),
        (None, "shape|array of numbers"),
        ([[1.0], [1.0, 2.0]], "an observation is an array of numbers"),
        ({"position": [1.0]}, "a Dict space is sent as one array"),
    ]:
        with pytest.raises(ArgumentError, match=reason):
            policy.predict(cast(Any, observation))
    with pytest.raises(ArgumentError, match="seed is 'x': expected a whole number"):
        policy.predict(STATE, seed=cast(Any, "x"))
