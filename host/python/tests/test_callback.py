"""Checkpoints that a training publishes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import STATES, close, names
from models import BaseCallback, DummyVecEnv, VecNormalize, actions_of, gymnasium, model, sb3

from sac_serving import ArgumentError, Policy, PublishCallback, RefusedError

pytestmark = pytest.mark.usefixtures("with_program")


def test_the_callback_publishes_while_the_model_learns_and_at_the_end(serve: Any, tmp_path: Path) -> None:
    trained = model(normalised=True)
    trained.learn(250, callback=PublishCallback(tmp_path, every=100))
    models = [name for name in names(tmp_path) if name.endswith(".zip")]
    assert models == ["model_00000100.zip", "model_00000200.zip", "model_00000250.zip"]
    with Policy(serve("--dir", tmp_path).url) as policy:
        found, info = policy.predict(STATES)
        assert Path(info["model_path"]).name == models[-1] and close(found, actions_of(trained))
        trained.learn(100, callback=PublishCallback(tmp_path, every=100), reset_num_timesteps=False)
        found, info = policy.predict(STATES)
        assert Path(info["model_path"]).name == "model_00000350_end.zip" and close(found, actions_of(trained))


def test_a_second_training_replaces_the_files_of_the_same_steps_unless_it_counts_on(tmp_path: Path) -> None:
    trained = model()
    for _ in range(2):
        trained.learn(100, callback=PublishCallback(tmp_path, every=100))
        assert [name for name in names(tmp_path) if name.endswith(".zip")] == ["model_00000100.zip", "model_00000100_end.zip"]
    trained.learn(100, callback=PublishCallback(tmp_path, every=100), reset_num_timesteps=False)
    models = [name for name in names(tmp_path) if name.endswith(".zip")]
    assert models == [f"model_00000{steps}{end}.zip" for steps in (100, 200) for end in ("", "_end")]


class Breaking(BaseCallback):
    """Puts a card into the folder at a step, which refuses all checkpoints from then on, and takes it away at another."""

    def __init__(self, folder: Path, at: int, until: int) -> None:
        super().__init__()
        self.card, self.at, self.until = folder / "policy.json", at, until

    def _on_step(self) -> bool:
        if self.num_timesteps == self.at:
            self.card.write_text('{"activation": "tahn"}')
        if self.num_timesteps == self.until:
            self.card.unlink()
        return True


def test_a_refusal_while_the_model_learns_is_a_warning_and_ends_the_training_if_that_is_asked_for(tmp_path: Path) -> None:
    trained = model()
    breaking = Breaking(tmp_path, at=150, until=250)
    with pytest.warns(UserWarning, match=r"the model of step 200 is not published: .*`tahn` is none of"):
        trained.learn(300, callback=[breaking, PublishCallback(tmp_path, every=100)])
    assert trained.num_timesteps == 300
    assert [name for name in names(tmp_path) if name.endswith(".zip")] == [
        "model_00000100.zip",
        "model_00000300.zip",
        "model_00000300_end.zip",
    ]
    breaking = Breaking(tmp_path, at=150, until=250)
    with pytest.raises(RefusedError, match="`tahn` is none of"):
        trained.learn(300, callback=[breaking, PublishCallback(tmp_path, every=100, on_error="raise")])
    assert trained.num_timesteps == 200
    with pytest.raises(ArgumentError, match="on_error is 'ignore': expected one of warn, raise"):
        PublishCallback(tmp_path, every=100, on_error="ignore")


def test_files_of_the_folder_that_count_for_all_checkpoints_count_before_the_model_learns(tmp_path: Path) -> None:
    trained = model()
    (tmp_path / "policy.json").write_text('{"activation": "tanh"}')
    with pytest.raises(RefusedError, match="is not published"):
        trained.learn(1, callback=PublishCallback(tmp_path, every=10_000))
    assert trained.num_timesteps == 0 and names(tmp_path) == ["policy.json"]


@pytest.mark.parametrize("keys", [["state"], ["state", "goal"]])
def test_a_dict_of_which_vecnormalize_normalises_some_keys_is_refused_before_the_model_learns(
    keys: list[str], tmp_path: Path
) -> None:
    def dictionaries() -> Any:
        env = gymnasium.make("Pendulum-v1")
        space = gymnasium.spaces.Dict({"state": env.observation_space, "goal": env.observation_space})
        return gymnasium.wrappers.TransformObservation(env, lambda state: {"state": state, "goal": state}, space)

    env = VecNormalize(DummyVecEnv([dictionaries]), norm_obs_keys=keys)
    trained = sb3.SAC("MultiInputPolicy", env, device="cpu")
    callback = PublishCallback(tmp_path, every=10_000)
    if len(keys) == 1:
        with pytest.raises(RefusedError, match="it does not normalise goal of the Dict"):
            trained.learn(1, callback=callback)
        assert trained.num_timesteps == 0 and names(tmp_path) == []
    else:
        trained.learn(1, callback=callback)
        assert "model_00000001.zip.vecnormalize.pkl" in names(tmp_path)
